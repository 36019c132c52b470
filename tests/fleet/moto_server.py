"""Runs moto's server, which also checks signatures while it lets web identities log in. usage: as of moto.server

AWS takes AssumeRoleWithWebIdentity without a signature, as the token is the login. moto rejects every unsigned request
once it checks signatures. This action alone is not checked here.
"""

import sys

from moto.core.authorization import ActionAuthenticatorMixin
from moto.server import main

check = ActionAuthenticatorMixin._authenticate_and_authorize_action


def check_all_but_web_identity(self, *arguments, **named):
    if self._get_action() != "AssumeRoleWithWebIdentity":
        check(self, *arguments, **named)


ActionAuthenticatorMixin._authenticate_and_authorize_action = check_all_but_web_identity
main(sys.argv[1:])
