#!/bin/bash
if cmp /app/question.txt /app/answer.txt; then echo 1; else echo 0; fi >/logs/verifier/reward.txt
