#!/usr/bin/python
"""Compile MRtrix3, or a module of it, in its source tree, resuming an earlier build."""

from __future__ import annotations

DOCUMENTATION = """
module: mrtrix3_build
short_description: Compile MRtrix3, or a module of it, in its source tree
description:
  - Configures MRtrix3 without its graphical programs and compiles all commands, or those named, with either of its
    build systems (C(configure) and C(build), or CMake with Ninja).
  - Resumes an interrupted build. Files that it left incomplete are compiled again.
  - The build stops when the run that started it ends. Two builds never work in the same tree.
author: The provision founders (!UNKNOWN)
options:
  source:
    type: path
    required: true
    description: The source tree.
  against:
    type: path
    description:
      - The MRtrix3 for which C(source) is an external module. Either an installation by this collection, which has what
        modules need, or a source tree, which is configured if necessary, and of which only what the module needs is
        compiled.
  commands:
    type: list
    elements: str
    default: []
    description: The commands to build; none means all.
  cpu:
    type: str
    default: ""
    description: The processor to compile for, the compiler's C(-march); the compiler's default if empty.
  jobs:
    type: int
    default: 0
    description: How many compilers to run at once. C(0) means one per core, fewer if memory is short.
  progress:
    type: path
    description: A file that receives the progress of the build, as one JSON object.
  store:
    type: path
    description:
      - A folder on a disk that outlives this machine, where finished files are saved during the build, so that a fresh
        machine can resume it. Needs C(commit).
  commit:
    type: str
    default: ""
    description: The commit of the source tree.
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
  description: The number of build steps; 0 if everything was up to date.
  type: int
  returned: success
jobs:
  description: How many compilers ran at once.
  type: int
  returned: success
system:
  description: The build system, V(Configure) or V(CMake), or V(Module) for an external module.
  type: str
  returned: success
log:
  description: The path of the log with the build's full output.
  type: str
  returned: success
seconds:
  description: How long this took.
  type: float
  returned: success
spent:
  description: How long compiling has taken in total, including interrupted builds.
  type: float
  returned: success
unfinished:
  description: The folder with the saved files of the unfinished build; empty without O(store).
  type: str
  returned: success
notes:
  description: Problems with the saved files of the unfinished build, as sentences.
  type: list
  elements: str
  returned: success
build_log:
  description: The path of the log.
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
