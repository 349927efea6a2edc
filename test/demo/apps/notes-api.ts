/**
 * The upstream of the demo: a small notes service with personal API keys. `GET /whoami` and `GET /notes` with
 * `Authorization: Bearer <key>`; a wrong or missing key is 401. Accounts come from a JSON file: { "<key>": { account, notes } }.
 */
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

interface Account {
  readonly account: string;
  readonly notes: readonly string[];
}

const accountsFile = process.argv[2] ?? '/etc/notes/accounts.json';
const accounts = new Map(Object.entries(JSON.parse(readFileSync(accountsFile, 'utf8')) as Record<string, Account>));

function accountOf(request: IncomingMessage): Account | undefined {
  const match = /^Bearer (\S+)$/u.exec(request.headers.authorization ?? '');
  return match?.[1] === undefined ? undefined : accounts.get(match[1]);
}

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

createServer((request, response) => {
  if (request.url === '/healthz') return answer(response, 200, { ok: true });
  const account = accountOf(request);
  if (account === undefined) return answer(response, 401, { error: 'unknown API key' });
  if (request.url === '/whoami') return answer(response, 200, { account: account.account });
  if (request.url === '/notes') return answer(response, 200, { notes: account.notes });
  return answer(response, 404, { error: 'not found' });
}).listen(8080, () => console.log('notes API on 8080'));

process.on('SIGTERM', () => process.exit(0));
