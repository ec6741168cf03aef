#!/bin/bash
echo "$(id -un) $COLOUR" >/tmp/me
