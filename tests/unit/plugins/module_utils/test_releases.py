"""The commits of the releases."""

from plugins.module_utils.provision.releases import COMMITS


def test_each_release_has_a_commit_of_its_own():
    assert len(set(COMMITS.values())) == len(COMMITS)
    assert all(len(commit) == 40 and int(commit, 16) for commit in COMMITS.values())
