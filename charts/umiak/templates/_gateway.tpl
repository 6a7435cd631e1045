{{/* Edges reach what edges need, and nothing else: the hub's side for operator, signer and people is not routed. A
cloud worker's Service is <resource>-cloud, or, for names that need one, ends in a hash (plan/names.py). */}}
{{- define "umiak.nginx" -}}
pid /tmp/nginx.pid;
error_log stderr warn;
worker_processes 2;
worker_shutdown_timeout 8s;
events { worker_connections 4096; }
http {
  access_log off;
  server_tokens off;
  client_body_temp_path /tmp/body;
  proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi;
  scgi_temp_path /tmp/scgi;
  client_max_body_size {{ .Values.gateway.maxBodyMebibytes }}m;
  client_body_buffer_size 1m;
  client_header_timeout 15s;
  keepalive_timeout 75s;
  resolver {{ .Values.gateway.resolver }} valid=10s;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Host $host;
  proxy_set_header X-Forwarded-For $remote_addr;
  proxy_connect_timeout 5s;
  proxy_read_timeout 120s;
  proxy_buffering off;
  # An example may be asked again by the router, which knows whether that is safe.
  proxy_next_upstream off;

  server {
    listen 8443{{ if not .Values.tls.insecure }} ssl{{ end }};
    {{- if not .Values.tls.insecure }}
    ssl_certificate /etc/nginx/tls/tls.crt;
    ssl_certificate_key /etc/nginx/tls/tls.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:tls:4m;
    {{- end }}

    location = /healthz { return 200 "ok\n"; }
    location ~ "^/hub(?<rest>/(healthz|readyz|v1/(blobs|models|lines|replay|reports|settings)/.*)$)" {
      set $upstream umiak-hub.{{ .Release.Namespace }}.svc.{{ .Values.gateway.clusterDomain }};
      proxy_pass http://$upstream:8800$rest$is_args$args;
    }
    location ~ "^/cloud/(?<space>[a-z0-9-]+)/(?<service>[a-z0-9-]+(-cloud|-[0-9a-f]{10}))(?<rest>/(healthz|readyz|v1/.*)$)" {
      proxy_pass http://$service.$space.svc.{{ .Values.gateway.clusterDomain }}:8700$rest$is_args$args;
    }
    location / { return 404; }
  }
}
{{- end }}
