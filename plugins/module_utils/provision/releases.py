"""The commit of each MRtrix3 release."""

from __future__ import annotations

# Anyone who can write to a repository can move a tag; a commit's name is a digest of its content.
COMMITS = {
    "3.0.0": "047e21f3474237fe2bdabcc07d949ac236505087",
    "3.0.1": "97946e44b77f14b1cbc857659a5b6f2b8ba2461b",
    "3.0.2": "c838731033331f9e3f2afe451b8a5768e2f83b78",
    "3.0.3": "3498ff469b843d5b023c3675f1d955ba4105c5d1",
    "3.0.4": "32d17043ec75babbaed65b31d62c063b85ddfa24",
    "3.0.5": "e919e656a72c0b0eee9723f2ed7dbe571e5a8ac2",
    "3.0.6": "2e4cb20f05247a8baf4f18ea8839fb3637fa7cd2",
    "3.0.7": "ef1d14235ac718e39ce802971015c6f4b0069053",
    "3.0.8": "464173c5294e021b2d508e557085d90c09d642fd",
}
