import { createServer } from 'node:https';
import type { Server } from 'node:https';
import type { AddressInfo } from 'node:net';

import { issueAuthority, issueLeaf } from '#operator/certificates/issue.ts';
import { defaultLifetimes as lifetimes } from '#operator/certificates/lifetimes.ts';
import type { ControlPlane } from '#test/support/control-plane.ts';

import { webhookConfiguration } from './webhook-registration.ts';

/** Somebody else's mutating webhook, called after ours, which always sends the same patch. */
export class MeddlingWebhook implements AsyncDisposable {
  readonly #server: Server;
  readonly #caBundle: string;
  #unregister: (() => Promise<unknown>) | undefined;

  private constructor(server: Server, caBundle: string) {
    this.#server = server;
    this.#caBundle = caBundle;
  }

  static async start(patch: readonly object[]): Promise<MeddlingWebhook> {
    const nowMs = Date.now();
    const authority = await issueAuthority(nowMs, lifetimes);
    const leaf = await issueLeaf({ authority, dnsNames: ['localhost'], nowMs, lifetimes });
    const encodedPatch = Buffer.from(JSON.stringify(patch)).toString('base64');
    const server = createServer({ cert: leaf.pem, key: leaf.keyPem }, (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const review = JSON.parse(Buffer.concat(chunks).toString()) as { request: { uid: string } };
        const answer = { uid: review.request.uid, allowed: true, patchType: 'JSONPatch', patch: encodedPatch };
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: answer }));
      });
    });
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    return new MeddlingWebhook(server, Buffer.from(authority.pem).toString('base64'));
  }

  /** Configurations are called in the order of their names. */
  async register(plane: ControlPlane, name: string): Promise<void> {
    const { port } = this.#server.address() as AddressInfo;
    const url = `https://localhost:${port}/`;
    const configuration = webhookConfiguration({
      name,
      webhookName: `${name}.example.com`,
      url,
      caBundle: this.#caBundle,
    });
    await plane.kubectl(['apply', '-f', '-'], JSON.stringify(configuration));
    this.#unregister = () => plane.kubectl(['delete', 'mutatingwebhookconfiguration', name]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#unregister?.();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
