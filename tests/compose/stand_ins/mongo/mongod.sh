#!/bin/bash
exec python /opt/front.py "$@"
