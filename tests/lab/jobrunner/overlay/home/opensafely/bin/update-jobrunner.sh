#!/usr/bin/env bash
# Stand-in of the deploy script with its defects: it pulls the code in the place of the dependencies, takes a changed ctime for a changed
# file, wants a branch to be checked out, and restarts whatever there was to do.
set -euo pipefail
wanted=${1:-origin/main}
cd /home/opensafely/jobrunner/code
git fetch --all
git diff-files --quiet || { echo "Dirty checkout in $PWD. Please fix it."; exit 1; }
echo "Pending commits:"
git --no-pager log --oneline "HEAD..$wanted"
if [ -t 1 ]; then
    read -r -n 1 -p "Are you sure (y/n)? " answer
    [ "$answer" = y ] || exit 1
fi
echo "Updating python dependencies..."
git -C jobrunner/lib pull
echo "Checking out $wanted..."
git reset --hard "$wanted"
echo "Running migrations..."
python3 -m jobrunner.cli.migrate
echo "Restarting jobrunner..."
sudo systemctl restart jobrunner
systemctl status jobrunner --no-pager
