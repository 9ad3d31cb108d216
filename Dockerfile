# Wellhead's images. One file, three targets:
#
#   initializer   the init container: Wellhead and the clients it fetches with; no torch, no vLLM, no pip
#   runtime       vLLM's official image plus the Wellhead wheel and the Run:ai streamer it is tested with
#   runtime-cpu   vLLM's CPU build on an ordinary Python image
#
#   docker build --target initializer --build-arg VERSION=0.1.0 -t wellhead-initializer:0.1.0 .
#
# Without a network: put the wheels into build/wheelhouse (`pip download -d build/wheelhouse …`, with hatchling for the
# project itself) and add --build-arg PIP_NO_INDEX=1. The base images are arguments, so a mirror or a local image serves.

# Any image with a shell, python3 (3.11 or newer) and its venv module.
ARG PYTHON_IMAGE=docker.io/library/python:3.12-slim
ARG VLLM_IMAGE=docker.io/vllm/vllm-openai:v0.32.0


# ---- The tools every other stage builds with, and the project's own wheel ----------------------------------------------
FROM ${PYTHON_IMAGE} AS tools
ARG PIP_NO_INDEX
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
# As variables, because not every builder hands arguments on to the stages that start from this one; pip takes an empty
# one for unset. /deps holds the wheels of the build context, if any.
ENV PIP_NO_INDEX=${PIP_NO_INDEX} \
    PIP_INDEX_URL=${PIP_INDEX_URL} \
    PIP_EXTRA_INDEX_URL=${PIP_EXTRA_INDEX_URL} \
    PIP_TRUSTED_HOST=${PIP_TRUSTED_HOST} \
    PIP_FIND_LINKS=/deps \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
# pip lives in an environment of its own: a Debian python3 has none and refuses to be installed into (PEP 668).
RUN python3 -m venv /opt/tools
ENV PATH=/opt/tools/bin:${PATH}
# The second pattern may match nothing.
COPY requirements/*.txt build/wheelhouse*/* /deps/

FROM tools AS wheel
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY storage/ storage/
COPY runtime/ runtime/
COPY cluster/ cluster/
RUN pip wheel --quiet --no-deps --wheel-dir /dist .


# ---- initializer -------------------------------------------------------------------------------------------------------
FROM tools AS initializer-build
RUN python3 -m venv --without-pip /opt/wellhead \
 && pip --python /opt/wellhead/bin/python3 install --quiet --no-deps --no-compile -r /deps/initializer.txt \
 && pip --python /opt/wellhead/bin/python3 uninstall --quiet --yes -r /deps/initializer-unused.txt
COPY --from=wheel /dist/ /dist/
# Byte code is compiled here because the container may write nothing, and unchecked because a copied file's time may
# differ. Of the tests, type stubs and commands that came with our dependencies none is needed.
RUN pip --python /opt/wellhead/bin/python3 install --quiet --no-deps --no-compile /dist/*.whl \
 && find /opt/wellhead/lib -type d -name tests -prune -exec rm -r {} + \
 && find /opt/wellhead/lib -name '*.pyi' -delete \
 && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/wellhead/lib \
 && find /opt/wellhead/bin -type f ! -name wellhead -delete

FROM ${PYTHON_IMAGE} AS initializer
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="wellhead-initializer" \
      org.opencontainers.image.description="KServe storage initializer that streams or downloads model weights" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The official Python images ship the standard library without byte code, and every start would pay for that. Installers
# have no business in a running container; where the base has none of these the patterns match nothing.
RUN python3 -m compileall -q -x '/(test|tests|idlelib|lib2to3|ensurepip|site-packages|dist-packages)/' \
      "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
 && rm -rf /usr/local/lib/python3*/site-packages/* /usr/local/lib/python3*/ensurepip /usr/local/bin/pip* \
      /usr/share/python-wheels
COPY --from=initializer-build /opt/wellhead /opt/wellhead
ENV PATH=/opt/wellhead/bin:${PATH} \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# A number, so that the kubelet can check runAsNonRoot. Any other user works as well: all files are world-readable and
# nothing but the destination is ever written.
USER 1000:0
ENTRYPOINT ["wellhead", "init"]


# ---- the launcher that both runtimes put first on PATH ------------------------------------------------------------------
# KServe's LLMInferenceService templates and llm-d's chart end in `vllm serve …`: with this `vllm` found first they stream
# after nothing but a change of image.
FROM tools AS launcher
RUN mkdir -p /opt/wellhead/bin \
 && printf '%s\n' '#!/bin/sh' 'exec python3 -m wellhead_runtime.launcher "$@"' > /opt/wellhead/bin/vllm \
 && chmod 0755 /opt/wellhead/bin/vllm


# ---- runtime: on vLLM's own image --------------------------------------------------------------------------------------
# hadolint ignore=DL3006
FROM ${VLLM_IMAGE} AS runtime
ARG VERSION=dev
ARG REVISION=unknown
# The streamer and its plugins have to be of one version: the one that Wellhead's settings were measured with.
ARG STREAMER_VERSION=0.17.0
ARG STREAMER_STORES="s3 gcs azure"
ARG PIP_NO_INDEX
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
LABEL org.opencontainers.image.title="wellhead-runtime" \
      org.opencontainers.image.description="vLLM with Wellhead: weights straight out of object storage" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 0:0
COPY --from=tools /deps/ /tmp/deps/
COPY --from=wheel /dist/ /tmp/dist/
# vLLM's image was tested with its own versions: they are constraints here, so pip adds what is missing or fails. Only the
# streamer is replaced, and without asking what it depends on: that is torch, which is not to be touched. Byte code for
# everything: `uv`, which made that image, writes none, and without it every start under a read-only root takes half a
# minute more.
# hadolint ignore=DL3013
RUN set -e; export PIP_BREAK_SYSTEM_PACKAGES=1 PIP_ROOT_USER_ACTION=ignore PIP_FIND_LINKS=/tmp/deps; \
    python3 -m pip list --format=freeze > /tmp/image.txt; \
    python3 -m pip install --quiet --no-cache-dir --constraint /tmp/image.txt /tmp/dist/*.whl boto3 humanize; \
    set --; for store in ${STREAMER_STORES}; do set -- "$@" "runai-model-streamer-${store}==${STREAMER_VERSION}"; done; \
    python3 -m pip install --quiet --no-cache-dir --no-deps "runai-model-streamer==${STREAMER_VERSION}" "$@"; \
    python3 -m compileall -q -q -x '/(test|tests|idlelib|lib2to3)/' \
      "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
      "$(python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" || true; \
    rm -rf /tmp/deps /tmp/dist /tmp/image.txt; \
    install -d -m 0775 -o 2000 -g 0 /home/wellhead
COPY --from=launcher /opt/wellhead /opt/wellhead
# What vLLM asks of a model's class at every start, in a process of its own, which takes it ten seconds. An image without
# these answers works, too.
RUN PYTHONDONTWRITEBYTECODE=1 python3 -m wellhead_runtime.faststart.inspecting /opt/wellhead/modelinfos \
 || echo "No model class is inspected: see the lines above. Starts take ten seconds more."
# A user that is in no passwd file has no name and no home, and torch asks for both. Where the root is read-only, mount
# volumes over HOME and /tmp.
ENV PATH=/opt/wellhead/bin:${PATH} \
    HOME=/home/wellhead \
    USER=wellhead \
    LOGNAME=wellhead \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /home/wellhead
# vLLM's images name the same user: number 2000, group 0.
USER 2000:0
EXPOSE 8080
ENTRYPOINT ["wellhead", "serve"]
CMD []


# ---- runtime-cpu: vLLM's CPU build ---------------------------------------------------------------------------------------
FROM tools AS runtime-cpu-build
# A page or folder where pip may find torch's +cpu build. Without one the ordinary build is taken (5 GB more).
ARG TORCH_PAGE=https://download.pytorch.org/whl/cpu/torch/
RUN python3 -m venv --without-pip /opt/vllm \
 && pip --python /opt/vllm/bin/python3 install --quiet --no-deps -r /deps/engine.txt -r /deps/initializer.txt \
 && { pip --python /opt/vllm/bin/python3 install --quiet --no-deps --find-links "${TORCH_PAGE}" -r /deps/torch-cpu.txt \
      || pip --python /opt/vllm/bin/python3 install --quiet -r /deps/torch-any.txt; }
COPY --from=wheel /dist/ /dist/
RUN pip --python /opt/vllm/bin/python3 install --quiet --no-deps /dist/*.whl

FROM ${PYTHON_IMAGE} AS runtime-cpu
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="wellhead-runtime-cpu" \
      org.opencontainers.image.description="vLLM's CPU build with Wellhead: weights straight out of object storage" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# torch.compile needs a compiler and Python's headers at run time, vLLM's CPU kernels libnuma. The official Python images
# bring the headers of their own Python; Debian's comes without.
# The standard library's byte code is as in the initializer.
# hadolint ignore=DL3008
RUN apt-get update -qq \
 && apt-get install -qq -y --no-install-recommends g++ libnuma1 \
 && if [ ! -e "$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ]; then \
      apt-get install -qq -y --no-install-recommends libpython3-dev; \
    fi \
 && rm -rf /var/lib/apt/lists/* \
 && python3 -m compileall -q -x '/(test|tests|idlelib|lib2to3|ensurepip|site-packages|dist-packages)/' \
      "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
 && install -d -m 0775 -o 2000 -g 0 /home/wellhead
COPY --from=runtime-cpu-build /opt/vllm /opt/vllm
COPY --from=launcher /opt/wellhead /opt/wellhead
# As above.
RUN PYTHONDONTWRITEBYTECODE=1 /opt/vllm/bin/python3 -m wellhead_runtime.faststart.inspecting /opt/wellhead/modelinfos \
 || echo "No model class is inspected: see the lines above. Starts take ten seconds more."
ENV PATH=/opt/wellhead/bin:/opt/vllm/bin:${PATH} \
    HOME=/home/wellhead \
    USER=wellhead \
    LOGNAME=wellhead \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /home/wellhead
USER 2000:0
EXPOSE 8080
ENTRYPOINT ["wellhead", "serve"]
CMD []
