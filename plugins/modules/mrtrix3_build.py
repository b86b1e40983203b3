#!/usr/bin/python
"""Compile MRtrix3, or a module of it, in its source tree, going on from where an earlier build stopped."""

from __future__ import annotations

DOCUMENTATION = """
module: mrtrix3_build
short_description: Compile MRtrix3, or a module of it, in its source tree
description:
  - Configures without the graphical programs and compiles all commands or those named, with either of MRtrix3's build
    systems (C(configure) and C(build), or CMake with Ninja).
  - What an earlier, interrupted build finished is kept; what it left half written is made again.
  - When the run that started it goes away, the build stops; two builds never work in one tree.
author: The provision founders (!UNKNOWN)
options:
  source:
    type: path
    required: true
    description: The source tree.
  against:
    type: path
    description:
      - The MRtrix3 that C(source) is an external module of. Either an installation by this collection, which has what
        modules need, or a source tree, which is configured when it is not, and of which only that is compiled that the
        module needs.
  commands:
    type: list
    elements: str
    default: []
    description: The commands to build; none means all.
  cpu:
    type: str
    default: ""
    description: The processor to compile for, as the compiler's C(-march) takes it; empty for the compiler's default.
  jobs:
    type: int
    default: 0
    description: Compiler processes at once; C(0) is one per core, fewer where memory is short.
  progress:
    type: path
    description: A file that is told how far the build is, as one JSON object.
  store:
    type: path
    description:
      - A folder, on a disk that outlives this machine, that keeps what is finished as the build goes, and from which a
        build on a fresh machine goes on. Needs C(commit).
  commit:
    type: str
    default: ""
    description: The commit that the source tree is at.
"""

EXAMPLES = """
- name: Compile two commands of MRtrix3
  provision_founders.provision.mrtrix3_build:
    source: /usr/local/src/mrtrix3
    commands: [mrinfo, mrconvert]
    cpu: x86-64-v3
"""

RETURN = """
steps:
  description: How many steps the build has done; 0 when all of it was there.
  type: int
  returned: success
jobs:
  description: How many compilers worked at once.
  type: int
  returned: success
system:
  description: The build system, V(Configure) or V(CMake), or V(Module) for an external module.
  type: str
  returned: success
log:
  description: All that the build printed.
  type: str
  returned: success
seconds:
  description: How long this took.
  type: float
  returned: success
spent:
  description: How long compiling has taken in all, with the builds that were interrupted and gone on with.
  type: float
  returned: success
unfinished:
  description: The folder that keeps what is finished while the rest is not; empty without O(store).
  type: str
  returned: success
notes:
  description: What went wrong with the pieces that the store keeps while the build is unfinished, as sentences.
  type: list
  elements: str
  returned: success
build_log:
  description: The log, where the build failed.
  type: str
  returned: failure
"""

import os
import time

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.provision.build.driver import BuildError, stop_on_signals
from ..module_utils.provision.build.tree import build, choose_jobs
from ..module_utils.provision.failures import failure
from ..module_utils.provision.progress import teller
from ..module_utils.provision.system import memory_available


def main():
    """Run as an Ansible module."""
    stop_on_signals()
    os.umask(0o022)
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "path", "required": True},
            "against": {"type": "path"},
            "commands": {"type": "list", "elements": "str", "default": []},
            "cpu": {"type": "str", "default": ""},
            "jobs": {"type": "int", "default": 0},
            "progress": {"type": "path"},
            "store": {"type": "path"},
            "commit": {"type": "str", "default": ""},
        },
        supports_check_mode=False,
        required_by={"store": ["commit"]},
    )
    given = module.params
    start = time.monotonic()
    jobs = choose_jobs(given["jobs"], len(os.sched_getaffinity(0)), memory_available())
    try:
        tell = teller(given["progress"], "steps")
        names = ("source", "against", "commands", "cpu", "store", "commit")
        work = build(jobs=jobs, tell=tell, warn=module.warn, **{name: given[name] for name in names})
    except BuildError as error:
        module.fail_json(**failure(error), build_log=error.log, lines=error.lines)
    except OSError as error:
        module.fail_json(**failure(error))
    module.exit_json(
        changed=work.steps > 0,
        steps=work.steps,
        jobs=jobs,
        log=work.log,
        system=type(work).__name__,
        seconds=round(time.monotonic() - start, 1),
        spent=work.clock.seconds(),
        unfinished=work.checkpoint.folder if work.checkpoint else "",
        notes=work.checkpoint.notes() if work.checkpoint else [],
    )


if __name__ == "__main__":
    main()
