"""What `nginx -T` printed: which blocks include a file, and how many certificates they have."""

from __future__ import annotations

import time

from holdfast.servers.nginx_dump import Dump, Place

TEXT = r"""# configuration file /etc/nginx/nginx.conf:
user www-data; # configuration of "everything" {
pid "/run/ng\"inx.pid";
http {
    ssl_certificate /etc/ssl/all.pem;
    include sites/*.conf;
    include /etc/nginx/holdfast/no*.conf;
}

# configuration file /etc/nginx/sites/a.conf:
server { ssl_certificate /etc/ssl/a.pem; include holdfast/a.conf*;
         location ~ "^/x{2}$" { return 200 'a;}'; } }
server { include /etc/nginx/holdfast/b.conf; }
# configuration file /etc/nginx/holdfast/a.conf:
# Written by holdfast
ssl_stapling on;

# configuration file /etc/nginx/holdfast/b.conf:

# configuration file /etc/nginx/sites/c.conf:
server {
  ssl_certificate a.pem; ssl_certificate_key a.key;
  ssl_certificate b.pem; ssl_certificate_key b.key;
  include holdfast/a.conf;
}
# configuration file /etc/nginx/sites/.hidden.conf:
server { include holdfast/b.conf; }
"""


def test_the_blocks_that_include_a_file() -> None:
    dump = Dump(TEXT)
    assert dump.places("/etc/nginx/holdfast/a.conf") == [
        Place("server", ("/etc/ssl/a.pem",)),
        Place("server", ("a.pem", "b.pem")),
    ]


def test_certificates_from_above_count() -> None:
    assert Dump(TEXT).places("/etc/nginx/holdfast/b.conf") == [
        Place("server", ("/etc/ssl/all.pem",))
    ]


def test_a_file_that_nobody_includes() -> None:
    assert Dump(TEXT).places("/etc/nginx/holdfast/none.conf") == []


def test_the_pid_file_and_every_file() -> None:
    dump = Dump(TEXT)
    assert dump.pid == '/run/ng"inx.pid'
    assert len(dump.files) == 6
    assert Dump("").files == {}
    assert Dump("").pid is None


def test_wildcards_in_folders() -> None:
    dump = Dump(
        "# configuration file /n/nginx.conf:\nhttp { include */x?.conf; }\n"
        "# configuration file /n/one/x1.conf:\nserver { include /n/[ot]wo/y; }\n"
        "# configuration file /n/one/.x.conf:\n\n"
        "# configuration file /n/two/y:\n\n"
    )
    assert [place.block for place in dump.places("/n/two/y")] == ["server"]
    assert dump.places("/n/one/x1.conf")
    assert not dump.places("/n/one/.x.conf")


def test_what_includes_itself_ends() -> None:
    dump = Dump("# configuration file /n/nginx.conf:\ninclude nginx.conf;\n")
    assert dump.places("/n/nginx.conf")


def test_thousands_of_sites_are_read_at_once() -> None:
    """Two thousand server blocks in as many files, each with a pattern of its own."""
    parts = ["# configuration file /n/nginx.conf:\nhttp { include sites/*; }\n"]
    for number in range(2000):
        parts.append(
            f"# configuration file /n/sites/s{number}:\nserver {{ include h/s{number}.conf*; }}\n"
        )
        parts.append(f"# configuration file /n/h/s{number}.conf:\n# empty\n")
    begun = time.process_time()
    dump = Dump("".join(parts))
    assert len(dump.places("/n/h/s1999.conf")) == 1
    assert time.process_time() - begun < 10
