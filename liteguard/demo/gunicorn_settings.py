"""What gunicorn is told beyond its command line.

A file, because gunicorn skips names in it that it does not know: releases before 25
refuse the option on the command line.
"""

from __future__ import annotations

# The control socket would lie in the home folder of whoever runs the demo.
control_socket_disable = True
