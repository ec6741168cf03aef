#!/bin/bash
cp question.txt answer.txt
