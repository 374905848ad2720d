# Small, without root, with a health check. Its data (database, secret key, outputs) is in the volume /data.
# Run it with `--restart unless-stopped --stop-timeout 30`: a paid call in flight gets time to be stored.
# With DATABASE_URL=postgresql://… the database is elsewhere: the lock has the drivers of both.
FROM python:3.13-slim AS packages
COPY requirements.lock .
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home gateway && install -d -o gateway -m 700 /data
COPY --from=packages /venv /venv
# .dockerignore selects the files, so that a new package is included automatically.
COPY . /app/
WORKDIR /app
USER gateway
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DATABASE_URL=sqlite:////data/tasks.db \
    OUTPUTS_URL=file:///data/outputs
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health', timeout=8)"]
CMD ["uvicorn", "main:app", "--host", "0.0.0.0", "--port", "8000", "--no-server-header"]
