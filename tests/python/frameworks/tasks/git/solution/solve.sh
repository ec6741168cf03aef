#!/bin/bash
set -e
mkdir -p /srv/project
cd /srv/project
git init -q
cp "$(dirname "$0")/files/program.py" .
git add .
git -c user.name=me -c user.email=me@localhost commit -qm first
