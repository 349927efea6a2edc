/** How each of the other proxies is told to do what can be compared: take the client's token away and put a user's key in its place. */
import { writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { tokenOf, usersMax } from './load.ts';
import { type Peers, peerVersions } from './peers.ts';

export const ports = {
  upstream: 19_200,
  upstreamTls: 19_210,
  nginx: 19_201,
  haproxy: 19_202,
  envoy: 19_203,
  httpProxy: 19_204,
  fastMcp: 19_205,
  mcpProxy: 19_206,
} as const;

export function keyOf(user: number): string {
  return `key-of-user-${user}`;
}

export interface Program {
  readonly name: string;
  readonly port: number;
  readonly command: readonly string[];
  readonly path: string;
  readonly tool: string;
  readonly endsMcp: boolean;
}

export async function commands(directory: string, peers: Peers): Promise<readonly Program[]> {
  const plain = { path: '/mcp', tool: 'search', endsMcp: false };
  const write = async (name: string, text: string): Promise<string> => {
    const file = join(directory, name);
    await writeFile(file, text);
    return file;
  };
  const nginx = await write('nginx.conf', nginxConfig(directory));
  const haproxy = await write('haproxy.cfg', haproxyConfig(await write('keys.map', users(' ', '\n', ''))));
  const programs: Program[] = [
    { ...plain, name: 'nginx, static map', port: ports.nginx, command: ['nginx', '-c', nginx] },
    { ...plain, name: 'HAProxy, static map', port: ports.haproxy, command: ['haproxy', '-f', haproxy, '-db', '-q'] },
  ];
  if (peers.envoy !== undefined) {
    const file = await write('envoy.json', JSON.stringify(envoyConfig()));
    const command = [peers.envoy, '-c', file, '--concurrency', '1', '-l', 'error', '--disable-hot-restart'];
    programs.push({ ...plain, name: `Envoy ${peerVersions.envoy}, Lua map`, port: ports.envoy, command });
  }
  if (peers.httpProxy !== undefined) {
    const file = await write('http-proxy.cjs', httpProxyProgram(peers.httpProxy));
    const name = `Node, http-proxy ${peerVersions.httpProxy}`;
    programs.push({ ...plain, name, port: ports.httpProxy, command: [process.execPath, file] });
  }
  if (peers.fastMcp !== undefined) {
    const file = await write('fastmcp_proxy.py', fastMcpProgram);
    const name = `FastMCP ${peerVersions.fastMcp} proxy`;
    programs.push({ ...plain, name, port: ports.fastMcp, command: [peers.fastMcp, file], endsMcp: true });
  }
  if (peers.mcpProxy !== undefined) {
    const file = await write('proxy.toml', mcpProxyConfig);
    const name = `mcp-proxy ${peerVersions.mcpProxy} (Rust)`;
    const command = ['env', 'RUST_LOG=error', peers.mcpProxy, '--config', file];
    programs.push({ name, port: ports.mcpProxy, command, path: '/', tool: 'bench/search', endsMcp: true });
  }
  return programs;
}

/** Every user's token and key. */
function users(between: string, end: string, before: string): string {
  return Array.from({ length: usersMax }, (_, user) => `${before}${tokenOf(user)}${between}${keyOf(user)}${end}`).join(
    '',
  );
}

function nginxConfig(directory: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${directory}/nginx-${kind};`)
    .join(' ');
  return `worker_processes 1; daemon off; pid ${directory}/nginx.pid; error_log /dev/null; events { worker_connections 8192; }
    http { access_log off; keepalive_requests 100000000; ${temporary}
      client_max_body_size 8m; client_body_buffer_size 2m;
      map_hash_bucket_size 256; map_hash_max_size 65536;
      map $http_authorization $key { default ""; ${users('" "', '"; ', '"Bearer ')} }
      upstream server { server 127.0.0.1:${ports.upstream}; keepalive 64; keepalive_requests 100000000; }
      server { listen 127.0.0.1:${ports.nginx};
        location / { proxy_pass http://server; proxy_http_version 1.1; proxy_buffering off; proxy_set_header Connection "";
          proxy_set_header Authorization ""; proxy_set_header X-Api-Key $key; } } }`;
}

function haproxyConfig(map: string): string {
  return `global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend in
  bind 127.0.0.1:${ports.haproxy}
  http-request set-header X-Api-Key %[req.hdr(authorization),word(2,' '),map(${map})]
  http-request del-header Authorization
  default_backend server
backend server
  server s1 127.0.0.1:${ports.upstream}
`;
}

function envoyConfig(): object {
  const table = users('"]="', '",', '["Bearer ');
  const lua = `local keys = {${table}}
function envoy_on_request(handle)
  local headers = handle:headers()
  local key = keys[headers:get("authorization")]
  headers:remove("authorization")
  if key ~= nil then headers:replace("x-api-key", key) end
end`;
  const typed = (type: string, config: object): object => ({
    '@type': `type.googleapis.com/envoy.extensions.filters.${type}`,
    ...config,
  });
  const manager = typed('network.http_connection_manager.v3.HttpConnectionManager', {
    stat_prefix: 'in',
    stream_idle_timeout: '0s',
    route_config: {
      virtual_hosts: [
        {
          name: 'all',
          domains: ['*'],
          routes: [{ match: { prefix: '/' }, route: { cluster: 'server', timeout: '0s' } }],
        },
      ],
    },
    http_filters: [
      {
        name: 'envoy.filters.http.lua',
        typed_config: typed('http.lua.v3.Lua', { default_source_code: { inline_string: lua } }),
      },
      { name: 'envoy.filters.http.router', typed_config: typed('http.router.v3.Router', {}) },
    ],
  });
  const address = (port: number): object => ({ socket_address: { address: '127.0.0.1', port_value: port } });
  return {
    static_resources: {
      listeners: [
        {
          name: 'in',
          address: address(ports.envoy),
          filter_chains: [
            { filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: manager }] },
          ],
        },
      ],
      clusters: [
        {
          name: 'server',
          type: 'STATIC',
          circuit_breakers: { thresholds: [{ max_connections: 8192, max_pending_requests: 8192, max_requests: 8192 }] },
          load_assignment: {
            cluster_name: 'server',
            endpoints: [{ lb_endpoints: [{ endpoint: { address: address(ports.upstream) } }] }],
          },
        },
      ],
    },
  };
}

function httpProxyProgram(folder: string): string {
  const library = createRequire(join(folder, 'package.json')).resolve('http-proxy');
  return `const http = require('node:http');
const proxy = require(${JSON.stringify(library)}).createProxyServer({
  target: 'http://127.0.0.1:${ports.upstream}', agent: new http.Agent({ keepAlive: true }) });
const keys = new Map(Array.from({ length: ${usersMax} }, (_, user) =>
  ['Bearer token-of-user-' + String(user).padStart(5, '0') + '-0123456789abcdef01', 'key-of-user-' + user]));
proxy.on('error', (_error, _request, response) => response.destroy());
http.createServer((request, response) => {
  const key = keys.get(request.headers.authorization);
  delete request.headers.authorization;
  if (key !== undefined) request.headers['x-api-key'] = key;
  proxy.web(request, response);
}).listen(${ports.httpProxy}, '127.0.0.1');
`;
}

const fastMcpProgram = `from fastmcp.server import create_proxy
proxy = create_proxy("http://127.0.0.1:${ports.upstream}/mcp", name="bench")
proxy.run(transport="http", host="127.0.0.1", port=${ports.fastMcp}, stateless_http=True, json_response=True,
          show_banner=False, log_level="error")
`;

const mcpProxyConfig = `[proxy]
name = "bench"
separator = "/"
[proxy.listen]
host = "127.0.0.1"
port = ${ports.mcpProxy}
[[backends]]
name = "bench"
transport = "http"
url = "http://127.0.0.1:${ports.upstream}/mcp"
`;
