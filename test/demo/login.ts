/** Authorization code flow with PKCE against the demo's identity provider, the way a browser would do it. */
import { createHash, randomBytes } from 'node:crypto';
import type { LookupFunction } from 'node:net';
import { Agent, fetch } from 'undici';

const redirectUri = 'http://127.0.0.1:8976/callback';
const redirectsMax = 12;
const defaultResource = 'urn:mcp-keyring';

export interface LoginOptions {
  readonly issuer: string;
  /** PEM of the CA that signed the provider's certificate. */
  readonly ca: string;
  readonly account: string;
  /** Audience asked for; `urn:mcp-keyring` unless told. */
  readonly resource?: string;
  /** Connect to this IP address whatever name the issuer has: for callers outside the cluster's DNS. */
  readonly address?: string;
}

class Browser {
  readonly #cookies = new Map<string, string>();
  readonly #agent: Agent;

  constructor(ca: string, address: string | undefined) {
    const lookup: LookupFunction | undefined =
      address === undefined ? undefined : (_name, _options, found) => found(null, [{ address, family: 4 }]);
    this.#agent = new Agent({ connect: { ca, ...(lookup === undefined ? {} : { lookup }) } });
  }

  async request(url: URL, form?: URLSearchParams): Promise<{ status: number; location?: URL; body: string }> {
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const response = await fetch(url, {
      method: form === undefined ? 'GET' : 'POST',
      headers: { cookie },
      redirect: 'manual',
      dispatcher: this.#agent,
      ...(form === undefined ? {} : { body: form }),
    });
    for (const line of response.headers.getSetCookie()) {
      const [pair = ''] = line.split(';');
      const at = pair.indexOf('=');
      this.#cookies.set(pair.slice(0, at), pair.slice(at + 1));
    }
    const location = response.headers.get('location');
    const body = await response.text();
    return { status: response.status, body, ...(location === null ? {} : { location: new URL(location, url) }) };
  }

  close(): Promise<void> {
    return this.#agent.close();
  }
}

/** Logs `account` in and resolves the access token (a JWT for `resource`). */
export async function login(options: LoginOptions): Promise<string> {
  const browser = new Browser(options.ca, options.address);
  try {
    const verifier = randomBytes(32).toString('base64url');
    const code = await authorize(browser, options, createHash('sha256').update(verifier).digest('base64url'));
    const answer = await browser.request(
      new URL(`${options.issuer}/token`),
      new URLSearchParams({
        grant_type: 'authorization_code',
        client_id: 'mcp-demo',
        code,
        code_verifier: verifier,
        redirect_uri: redirectUri,
        resource: options.resource ?? defaultResource,
      }),
    );
    if (answer.status !== 200)
      throw new Error(`the identity provider gave no token (${answer.status}): ${answer.body}`);
    return (JSON.parse(answer.body) as { access_token: string }).access_token;
  } finally {
    await browser.close();
  }
}

async function authorize(browser: Browser, options: LoginOptions, challenge: string): Promise<string> {
  const start = new URL(`${options.issuer}/auth`);
  start.search = new URLSearchParams({
    client_id: 'mcp-demo',
    response_type: 'code',
    redirect_uri: redirectUri,
    scope: 'openid',
    code_challenge: challenge,
    code_challenge_method: 'S256',
    resource: options.resource ?? defaultResource,
  }).toString();
  return codeOf(await logIn(browser, start, { account: options.account, redirectUri }));
}

/** Opens an authorization URL as a browser would, and logs in. Resolves the URL that the browser is sent back to. */
export async function visit(
  start: URL,
  options: Pick<LoginOptions, 'ca' | 'account' | 'address'> & { readonly redirectUri: string },
): Promise<URL> {
  const browser = new Browser(options.ca, options.address);
  try {
    return await logIn(browser, start, options);
  } finally {
    await browser.close();
  }
}

async function logIn(
  browser: Browser,
  start: URL,
  options: { readonly account: string; readonly redirectUri: string },
): Promise<URL> {
  let answer = await browser.request(start);
  let url = start;
  for (let step = 0; step < redirectsMax; step++) {
    if (answer.location?.href.startsWith(options.redirectUri) === true) return answer.location;
    if (answer.location !== undefined) {
      url = answer.location;
      answer = await browser.request(url);
      continue;
    }
    answer = await browser.request(...interactionForm(url, answer.body, options.account));
  }
  throw new Error(`login as ${options.account} did not end after ${redirectsMax} steps`);
}

function codeOf(callback: URL): string {
  const code = callback.searchParams.get('code');
  if (code === null)
    throw new Error(`the identity provider refused the login: ${callback.searchParams.get('error_description')}`);
  return code;
}

/** Fills in the provider's page: the login form first, the consent form after it. */
function interactionForm(url: URL, page: string, account: string): [URL, URLSearchParams] {
  const action = /<form[^>]*action="([^"]+)"/u.exec(page)?.[1];
  const prompt = /name="prompt" value="(\w+)"/u.exec(page)?.[1];
  if (action === undefined || prompt === undefined)
    throw new Error(`no login form at ${url.pathname}: ${page.slice(0, 300)}`);
  const form = new URLSearchParams({ prompt });
  if (prompt === 'login') {
    form.set('login', account);
    form.set('password', 'demo');
  }
  return [new URL(action, url), form];
}
