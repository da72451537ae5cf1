// An OpenID provider on loopback that says what Keycloak says: the person's name, and roles under `realm_access`.
// node provider.mjs '{"port": 1, "audience": "...", "keys": [private JWKs], "people": {"name": {"password": "...", "roles": []}}}'
import Provider from 'oidc-provider';

const { port, audience, keys, people } = JSON.parse(process.argv[2]);

const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks: { keys },
  clients: [
    {
      client_id: audience,
      token_endpoint_auth_method: 'none',
      grant_types: ['password'],
      redirect_uris: [],
      response_types: [],
    },
  ],
  features: { devInteractions: { enabled: false } },
  findAccount: (_, id) => (people[id] ? { accountId: id, claims: () => ({ sub: id }) } : undefined),
  extraTokenClaims: (_, token) => ({
    preferred_username: token.accountId,
    realm_access: { roles: people[token.accountId].roles },
  }),
});

provider.registerGrantType(
  'password',
  async (ctx) => {
    const { params, client } = ctx.oidc;
    const person = people[params.username];
    if (!person || person.password !== params.password) {
      ctx.status = 400;
      ctx.body = { error: 'invalid_grant' };
      return;
    }
    const token = new provider.AccessToken({ accountId: params.username, client, gty: 'password', scope: 'openid' });
    token.resourceServer = new provider.ResourceServer('urn:labels', { audience, accessTokenFormat: 'jwt', scope: 'openid' });
    ctx.body = { access_token: await token.save(), expires_in: token.expiration, token_type: token.tokenType };
  },
  ['username', 'password'],
);

provider.listen(port, '127.0.0.1', () => console.log('listening'));
