#!/bin/bash
if [ "$(cat /tmp/me)" = "nobody blue" ]; then echo 1; else echo 0; fi >/logs/verifier/reward.txt
