"""What people have exported for Ansible and others, and been surprised by."""

EXPORTED = {
    "ANSIBLE_ASK_PASS": "1", "ANSIBLE_BECOME": "1", "ANSIBLE_BECOME_ASK_PASS": "1", "ANSIBLE_RUN_TAGS": "x",
    "ANSIBLE_ROLES_PATH": "/x", "ANSIBLE_ACTION_PLUGINS": "/x", "ANSIBLE_STDOUT_CALLBACK": "yaml",
    "ANSIBLE_STRATEGY": "mitogen_linear", "ANSIBLE_INVENTORY_ENABLED": "ini", "ANSIBLE_CALLBACK_PLUGINS": "/x",
    "ANSIBLE_HOST_KEY_CHECKING": "False", "ANSIBLE_CONFIG": "/x/ansible.cfg", "ANSIBLE_LIBRARY": "/x",
    "ANSIBLE_CHECK_MODE_MARKERS": "1", "ANSIBLE_PIPELINING": "0", "ANSIBLE_KEEP_REMOTE_FILES": "1",
    "ANSIBLE_VAULT_PASSWORD_FILE": "gone", "ANSIBLE_LIMIT": "none", "ANSIBLE_DEBUG": "1", "ANSIBLE_VERBOSITY": "4",
    "ANSIBLE_SOMETHING_NEW": "x", "LANGUAGE": "xx", "PYTHONINSPECT": "1", "PYTHONWARNINGS": "error", "GIT_DIR": "/x",
    "APT_CONFIG": "/x", "DPKG_ADMINDIR": "/x", "DPKG_FORCE": "all", "DPKG_ROOT": "/x", "PIP_DRY_RUN": "1",
    "PIP_PREFIX": "/x", "PIP_ROOT": "/x", "PIP_TARGET": "/x", "PIP_USER": "1",
    "PIP_PYTHON": "/x", "PIP_NO_DEPS": "1", "GIT_OBJECT_DIRECTORY": "/x", "NGROK_AUTHTOKEN": "marker",
}  # fmt: skip
