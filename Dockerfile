# One image for API, worker and page. Not built where this is developed (no engine there); see README.
FROM python:3.11-slim

RUN useradd --create-home --uid 1000 screenalytics
WORKDIR /app

# The pins are complete; see the Makefile for --no-deps.
COPY requirements.txt requirements-flower.txt ./
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps -r requirements.txt -r requirements-flower.txt

COPY pyproject.toml README.md ./
COPY config config
COPY apps apps
COPY tools tools

ARG GIT_SHA=unknown
ENV SCREENALYTICS_GIT_SHA=$GIT_SHA \
    SCREENALYTICS_DATA_ROOT=/data \
    PYTHONUNBUFFERED=1
RUN install --directory --owner=screenalytics /data
VOLUME /data
USER screenalytics

CMD ["python", "-m", "apps.api", "--host", "0.0.0.0", "--port", "8000"]
