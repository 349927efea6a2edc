import { request } from 'node:https';
import type { RequestOptions } from 'node:https';

/** What the API server would see. */
export interface WebhookAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

export interface WebhookCall extends Pick<RequestOptions, 'ca' | 'agent' | 'method' | 'path'> {
  readonly headers?: Readonly<Record<string, string>>;
  readonly port: number;
  readonly body?: Buffer | string;
}

export const webhookHost = 'mcp-keyring-webhook.mcp-keyring.svc';

/** One HTTPS request to a webhook server on the loopback, by the name of its Service. */
export function callWebhook(call: WebhookCall): Promise<WebhookAnswer> {
  const { port, body, ...options } = call;
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: '127.0.0.1',
        servername: webhookHost,
        port,
        method: 'POST',
        path: '/inject?timeout=5s',
        agent: false,
        ...options,
        headers: { host: webhookHost, 'content-type': 'application/json', ...options.headers },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const { statusCode, headers } = response;
          resolve({ status: statusCode ?? 0, headers, text: Buffer.concat(chunks).toString('utf8') });
        });
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

/** The body that the API server posts for a pod that is created. */
export function podReview(pod: object, uid = '705ab4f5-6393-11e8-b7cc-42010a800002'): string {
  return JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid,
      kind: { group: '', version: 'v1', kind: 'Pod' },
      resource: { group: '', version: 'v1', resource: 'pods' },
      operation: 'CREATE',
      namespace: 'team-a',
      userInfo: { username: 'system:serviceaccount:kube-system:replicaset-controller' },
      object: pod,
      dryRun: false,
    },
  });
}

export interface ReviewResponse {
  readonly uid: string;
  readonly allowed: boolean;
  readonly patch?: string;
  readonly patchType?: string;
  readonly warnings?: readonly string[];
  readonly status?: { readonly code: number; readonly message: string };
}

export function responseIn(answer: WebhookAnswer): ReviewResponse {
  return (JSON.parse(answer.text) as { response: ReviewResponse }).response;
}
