# One image for API, worker, page and Flower; docs/containers.md says with what it was built.
ARG PYTHON_IMAGE=python:3.11-slim
FROM ${PYTHON_IMAGE}

RUN useradd --create-home --uid 1000 screenalytics
WORKDIR /app

# The pins are complete; see the Makefile for --no-deps. What no program here loads goes again:
# tests of packages, Arrow's network and S3 clients, ONNX Runtime's second library, dlib's other networks
# (one of which is for non-commercial use only).
COPY requirements.txt requirements-flower.txt requirements-editors.txt requirements-storage.txt ./
RUN pip install --no-cache-dir --disable-pip-version-check --no-compile --no-deps --require-hashes -r requirements.txt -r requirements-flower.txt \
    -r requirements-editors.txt -r requirements-storage.txt \
    && cd "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
    && rm -rf pyarrow/include pyarrow/libarrow_flight* pyarrow/libarrow_python_flight* \
        pyarrow/libarrow_s3* pyarrow/_flight* pyarrow/_s3fs* \
        onnxruntime/capi/libonnxruntime.so* onnx/backend/test \
        face_recognition_models/models/shape_predictor* face_recognition_models/models/mmod* \
    && find . -type d -name tests -prune -exec rm -rf {} +

COPY pyproject.toml README.md LICENSE ./
COPY apps apps
# What the programs load is compiled by loading it: a read-only container could not keep that.
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps . \
    && rm -rf apps build *.egg-info \
    && python -c "import apps.api.main, apps.worker.celery_app, apps.pipeline.run, apps.ui.app, altair, \
        celery.apps.worker, celery.backends.redis, celery.concurrency.prefork, flower.app, \
        insightface.model_zoo, kombu.transport.redis, streamlit.web.bootstrap, apps.comparison.report, \
        uvicorn.protocols.http.h11_impl" \
    && rm -rf /root/.cache /root/.streamlit

ARG GIT_SHA=unknown
ENV SCREENALYTICS_GIT_SHA=$GIT_SHA \
    SCREENALYTICS_DATA_ROOT=/data \
    INSIGHTFACE_HOME=/data/insightface \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
RUN install --directory --owner=screenalytics /data
USER screenalytics

CMD ["screenalytics", "serve", "--host", "0.0.0.0", "--port", "8000"]
