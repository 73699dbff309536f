# The stages of a training Job: the arguments name the stage.
# From the repository's root: docker build -f operator/training.Dockerfile -t modelwright-training .
# Up to the last two lines it differs from the other Dockerfiles in the lock only: what is equal is built once.
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS tools
# Package indexes other than pypi.org, from the build's command line. They stay in this stage, so in no image.
ARG PIP_INDEX_URL
ARG UV_DEFAULT_INDEX
ENV UV_CONFIG_FILE=/opt/tools/uv.toml PYC_INVALIDATION_MODE=UNCHECKED_HASH
RUN python3 -m venv /opt/tools && /opt/tools/bin/pip install --no-cache-dir uv==0.13.8 hatchling==1.28.0 \
 && printf '%s\n' 'no-cache = true' 'python-downloads = "never"' 'system-certs = true' \
    "${UV_DEFAULT_INDEX:+index-url = '$UV_DEFAULT_INDEX'}" '[pip]' 'compile-bytecode = true' > /opt/tools/uv.toml
WORKDIR /src

# The wheel of all packages; needs no network.
FROM tools AS wheel
COPY . .
RUN /opt/tools/bin/uv build --wheel --no-build-isolation --python /opt/tools/bin/python \
 && /opt/tools/bin/uv pip install --no-deps --target /opt/app dist/*.whl \
 && rm -r /opt/app/.lock /opt/app/bin

# What uv.lock says about this image's extra. A change of the lock that does not touch it ends here.
FROM tools AS lock
COPY pyproject.toml uv.lock ./
RUN /opt/tools/bin/uv export --frozen --no-dev --no-emit-project --no-header --no-annotate \
    --extra training --output-file requirements.txt --quiet

FROM ${BASE_IMAGE}
# No installer at run time; the standard library's bytecode is made here, since the root is read-only there.
RUN stdlib="$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
 && rm -rf "$stdlib/ensurepip" "$stdlib"/site-packages/pip* /usr/local/bin/pip* /usr/share/python-wheels \
 && python3 -m compileall -q -x '/(test|tests|idlelib|lib2to3|tkinter|turtledemo)/' "$stdlib" \
 && echo 'modelwright:x:65532:65532::/nonexistent:/usr/sbin/nologin' >> /etc/passwd \
 && echo 'modelwright:x:65532:' >> /etc/group
# Installed in place, with the installer only lent: copying a layer of this size would take longer than making it.
COPY --from=lock /src/requirements.txt /opt/modelwright/requirements.txt
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/mnt \
    export UV_CONFIG_FILE=/mnt/uv.toml PYC_INVALIDATION_MODE=UNCHECKED_HASH \
 && cd /opt/modelwright \
 && /mnt/bin/uv venv --allow-existing . \
 && /mnt/bin/uv pip install --python . --require-hashes --requirements requirements.txt \
 && find lib -type d -name tests -prune -exec rm -rf {} + \
 && echo /opt/modelwright/app > "$(bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/modelwright.pth"
# LightGBM looks for the library that scikit-learn brings along under another name.
RUN ln -s /opt/modelwright/lib/python3*/site-packages/scikit_learn.libs/libgomp-*.so* /usr/lib/libgomp.so.1
ENV PATH=/opt/modelwright/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1 ORT_DISABLE_TELEMETRY=1
USER 65532:65532
COPY --from=wheel /opt/app /opt/modelwright/app
LABEL org.opencontainers.image.title="Modelwright training" org.opencontainers.image.licenses="Apache-2.0"
ENTRYPOINT ["/opt/modelwright/bin/python", "-m", "modelwright_training"]
