"""HTTP caches that others wrote in front of a responder, their clocks moved with it by a `Shift`.

    with NginxCache(folder, responder.port, shift=shift) as cache:
        cache.port

Each tells of a reply, in X-Cache, whether it had it: HIT, MISS, EXPIRED, REVALIDATED, or PASS or
nothing for one that it never keeps.
"""

from __future__ import annotations

from pathlib import Path

from support.ports import free_port
from support.servers.nginx import NGINX, PATHS
from support.servers.process import Process
from support.servers.shift import Shift

NGINX_CONF = """
{user}{kept}pid {folder}/nginx.pid;
error_log {folder}/error.log notice;
worker_processes 1;
daemon off;
events {{ worker_connections 256; }}
http {{
  access_log off;
{temporary}
  proxy_cache_path {folder}/cache levels=1:2 keys_zone=ocsp:1m;
  upstream responder {{ server 127.0.0.1:{behind}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port};
    merge_slashes off;
    location / {{
      proxy_pass http://responder;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_cache ocsp;
      proxy_cache_key $request_uri;
      proxy_cache_revalidate on;
      add_header X-Cache $upstream_cache_status always;
    }}
  }}
}}
"""

# Grace would give expired answers for ten more seconds; keep lets it ask by If-None-Match.
VCL = """
vcl 4.1;
backend responder {{ .host = "127.0.0.1"; .port = "{behind}"; }}
sub vcl_backend_response {{
  set beresp.grace = 0s;
  set beresp.keep = 1h;
  if (beresp.was_304) {{ set beresp.http.X-Fetch = "REVALIDATED"; }}
  else {{ set beresp.http.X-Fetch = "MISS"; }}
}}
sub vcl_deliver {{
  if (obj.hits > 0) {{ set resp.http.X-Cache = "HIT"; }}
  elsif (obj.uncacheable) {{ set resp.http.X-Cache = "PASS"; }}
  else {{ set resp.http.X-Cache = resp.http.X-Fetch; }}
  unset resp.http.X-Fetch;
}}
"""


class NginxCache(Process):
    def __init__(self, folder: Path, behind: int, *, shift: Shift) -> None:
        home = folder / "nginx-cache"
        home.mkdir()
        port, config = free_port(), home / "nginx.conf"
        config.write_text(
            NGINX_CONF.format(
                user="user root;\n",
                # it empties its environment, where the moved time is
                kept="".join(f"env {name};\n" for name in shift.environment),
                folder=home,
                temporary="\n".join(f"  {name}_temp_path {home}/{name};" for name in PATHS),
                behind=behind,
                port=port,
            )
        )
        super().__init__(home, [NGINX, "-p", home, "-c", config], port, shift=shift)


class Varnish(Process):
    def __init__(self, folder: Path, behind: int, *, shift: Shift) -> None:
        home = folder / "varnish"
        home.mkdir()
        port, rules = free_port(), home / "responder.vcl"
        rules.write_text(VCL.format(behind=behind))
        listen = ["-a", f"127.0.0.1:{port}", "-T", "none", "-n", home / "work"]
        words = ["/usr/sbin/varnishd", "-F", "-f", rules, "-s", "malloc,16m", "-j", "none"]
        super().__init__(home, [*words, *listen], port, shift=shift)
        # Its allocator, jemalloc, asks for the time before libfaketime has it: libc's goes first.
        self.environment["LD_PRELOAD"] = f"{shift.environment['LD_PRELOAD']}:libc.so.6"
