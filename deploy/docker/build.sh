#!/bin/sh
# What the services' images have in common, in three steps: each is a layer, and the rarest change comes first.
#   sh build.sh poetry     the tool that reads the lock files; it stays in the build stage
#   sh build.sh packages   /opt/venv from the lock file of the service in this folder, every hash checked
#   sh build.sh code       the chassis (and packages that are named after it) as wheels into /opt/venv, the service to /app
set -eu
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
export POETRY_NO_INTERACTION=1 POETRY_VIRTUALENVS_CREATE=false
poetry=/opt/poetry/bin/poetry

install() { # The environment has no pip of its own: nobody installs anything into a running container.
    pip --python /opt/venv/bin/python install "$@"
}

case $1 in
poetry)
    python -m venv /opt/poetry
    /opt/poetry/bin/pip install 'poetry==2.5.*' 'poetry-plugin-export==1.*'
    ;;
packages)
    # A folder can't be hashed, and one line without a hash makes pip refuse all: the chassis is installed on its own.
    $poetry export --format requirements.txt --output /tmp/pins.txt
    sed -i -e '/^-e /d' -e '/ @ file:/d' /tmp/pins.txt
    python -m venv --without-pip /opt/venv
    install --require-hashes --only-binary :all: -r /tmp/pins.txt
    ;;
code)
    shift
    for package in ../chassis "$@"; do
        $poetry build --project "$package" --format wheel --output /tmp/wheels
    done
    install --no-deps /tmp/wheels/*.whl
    # Compiled here, because the user that runs it may write nothing; readable whatever the umask of the clone was.
    cp -R . /app
    python -m compileall -q /app
    chmod -R a+rX /app
    ;;
esac
