#!/bin/bash
cd /srv/project || cd /
if [ "$(git log --format=%s)" = first ] && [ "$(python3 program.py)" = 42 ]; then echo 1; else echo 0; fi >/logs/verifier/reward.txt
