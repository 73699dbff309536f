# The stages of a training Job: the arguments name the stage. From the repository's root: docker build -f operator/training.Dockerfile -t modelwright-training .
# The stages `tools` and `wheel` and the start of the last one read the same in all three Dockerfiles, so they are built once.
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS tools
# Package indexes other than pypi.org, from the build's command line; unset in the final stage and so in no image.
ARG PIP_INDEX_URL
ARG UV_DEFAULT_INDEX
ENV UV_PYTHON_DOWNLOADS=never UV_SYSTEM_CERTS=1 UV_NO_CACHE=1 UV_LINK_MODE=copy \
    UV_COMPILE_BYTECODE=1 PYC_INVALIDATION_MODE=UNCHECKED_HASH
RUN python3 -m venv /opt/tools && /opt/tools/bin/pip install --no-cache-dir uv==0.13.8 hatchling==1.28.0
WORKDIR /src

# The wheel of all packages; needs no network.
FROM tools AS wheel
COPY . .
RUN /opt/tools/bin/uv build --wheel --no-build-isolation --python /opt/tools/bin/python \
 && /opt/tools/bin/uv pip install --no-deps --target /opt/app dist/*.whl \
 && rm /opt/app/.lock

# What uv.lock says about this image's extra, as a stage of its own: a change of the lock that does not touch it costs nothing.
FROM tools AS lock
COPY pyproject.toml uv.lock ./
RUN /opt/tools/bin/uv export --frozen --no-dev --no-emit-project --no-header --no-annotate \
    --extra training --output-file requirements.txt --quiet

FROM tools AS dependencies
COPY --from=lock /src/requirements.txt ./
RUN /opt/tools/bin/uv venv /opt/modelwright \
 && /opt/tools/bin/uv pip install --python /opt/modelwright --require-hashes --requirements requirements.txt \
 && find /opt/modelwright -type d -name tests -prune -exec rm -rf {} + \
 && echo /opt/modelwright/app > "$(/opt/modelwright/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/modelwright.pth"

FROM ${BASE_IMAGE}
# No installer at run time; the standard library's bytecode is made here, since the root is read-only there.
RUN stdlib="$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
 && rm -rf "$stdlib/ensurepip" "$stdlib"/site-packages/pip* /usr/local/bin/pip* /usr/share/python-wheels \
 && python3 -m compileall -q -x '/(test|tests|idlelib|lib2to3|tkinter|turtledemo)/' "$stdlib" \
 && echo 'modelwright:x:65532:65532::/nonexistent:/usr/sbin/nologin' >> /etc/passwd \
 && echo 'modelwright:x:65532:' >> /etc/group
ENV PATH=/opt/modelwright/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1 ORT_DISABLE_TELEMETRY=1
USER 65532:65532
COPY --from=dependencies /opt/modelwright /opt/modelwright
COPY --from=wheel /opt/app /opt/modelwright/app
LABEL org.opencontainers.image.title="Modelwright training" org.opencontainers.image.licenses="Apache-2.0"
ENTRYPOINT ["/opt/modelwright/bin/python", "-m", "modelwright_training"]
