"""What finds the roles and runs them: the only place that imports Ansible."""
