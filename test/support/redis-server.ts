import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Debian's redis-server, on a port and in a folder of its own; every write is on disk before it is answered. */
export class RedisServer implements AsyncDisposable {
  readonly port: number;
  readonly #folder: string;
  #process: ChildProcess | undefined;

  private constructor(port: number) {
    this.port = port;
    this.#folder = mkdtempSync(join(tmpdir(), 'redis-'));
  }

  static async start(): Promise<RedisServer> {
    const server = new RedisServer(await freePort());
    await server.run();
    return server;
  }

  async run(): Promise<void> {
    const persistent = ['--appendonly', 'yes', '--appendfsync', 'always', '--dir', this.#folder];
    const args = ['--port', String(this.port), '--bind', '127.0.0.1', '--requirepass', 'secret', ...persistent];
    this.#process = spawn('redis-server', args, { stdio: 'ignore' });
    const untilMs = Date.now() + 10_000;
    while (!(await this.#answers())) {
      if (Date.now() > untilMs) throw new Error('redis-server does not start; is it installed?');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** As when its machine goes. */
  async kill(): Promise<void> {
    const running = this.#process;
    if (running === undefined || running.exitCode !== null) return;
    const gone = new Promise((resolve) => running.once('exit', resolve));
    running.kill('SIGKILL');
    await gone;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #answers(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = connect(this.port, '127.0.0.1', () => socket.write('AUTH secret\r\nPING\r\n'));
      socket.on('data', (data) => {
        socket.destroy();
        resolve(data.toString().includes('+OK'));
      });
      socket.on('error', () => resolve(false));
    });
  }
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
