#!/usr/bin/python
"""Download a file with a known checksum, completely or not at all."""

from __future__ import annotations

DOCUMENTATION = """
module: checked_download
short_description: Download a file with a known checksum
description:
  - Downloads a file and puts it in place only if its SHA-256 is right. Does nothing if the file is already there.
  - Fails with one sentence if the server does not answer, is too slow, sends too much or a web page, or redirects to
    anything but a server.
author: The provision founders (!UNKNOWN)
options:
  source:
    type: str
    required: true
    description: An http, https or file URL, or an absolute path.
  dest:
    type: path
    required: true
    description: Where the file goes. The folder is created if it does not exist.
  sha256:
    type: str
    required: true
    description: The SHA-256 that the file must have.
  progress:
    type: path
    description: A file that receives the progress of the download, as one JSON object.
"""

EXAMPLES = """
- name: Fetch an archive
  provision_founders.provision.checked_download:
    source: https://example.org/build.tar.zst
    dest: /var/cache/build.tar.zst
    sha256: "{{ archive_sha256 }}"
"""

RETURN = """
dest:
  description: The path of the file.
  type: str
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.provision.download import DownloadError, fetch
from ..module_utils.provision.failures import explain, failure
from ..module_utils.provision.progress import teller


def main():
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "str", "required": True},
            "dest": {"type": "path", "required": True},
            "sha256": {"type": "str", "required": True},
            "progress": {"type": "path"},
        }
    )
    given = module.params
    try:
        changed = fetch(given["source"], given["dest"], given["sha256"], teller(given["progress"], "bytes"))
    except DownloadError as error:
        module.fail_json(**failure(error))
    except OSError as error:
        message, hint = explain(error)
        module.fail_json(msg=message, hint=hint)
    module.exit_json(changed=changed, dest=given["dest"])


if __name__ == "__main__":
    main()
