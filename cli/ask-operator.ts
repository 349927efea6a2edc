import { setTimeout as delay } from 'node:timers/promises';
import { apiVersion, intakeConfigMapName } from '#crds/v1alpha1/names.ts';
import type { UserKeyRequest } from '#crds/v1alpha1/generated/user-key-request.ts';
import { sealUserKeyRequest, type IntakePublicKey, type UserKeyOrder } from './contract/user-key-request.ts';
import type { UserKeyOperation } from './contract/request-control.ts';
import type { UserKeyResponse } from './contract/responses.ts';
import { CliError } from './errors.ts';
import type { Kubectl } from './kubectl.ts';

const pollMs = 100;

export interface AskOptions {
  readonly kubectl: Kubectl;
  readonly namespace: string;
  readonly operatorNamespace: string;
  readonly timeoutMs: number;
}

type Granted = Exclude<UserKeyResponse, { readonly outcome: 'refused' }>;
type GrantedFor<O> = Extract<Granted, { readonly operation: O }>;

interface UserInfo {
  readonly username: string;
  readonly uid?: string;
  readonly groups?: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

/** Another one with every token, and no authorizer goes by it. */
const credentialId = 'authentication.kubernetes.io/credential-id';

/**
 * Sends one sealed request through the API server and waits for its sealed answer. A refusal is a `CliError` with what the operator
 * said. What the order holds is the caller's to zero.
 */
export async function askOperator<O extends UserKeyOrder['control']['operation']>(
  options: AskOptions,
  order: UserKeyOrder & { readonly control: { readonly operation: O } },
): Promise<GrantedFor<O>> {
  const [requester, recipient] = await Promise.all([whoAmI(options.kubectl), intakeKey(options)]);
  const place = { namespace: options.namespace, username: requester.username };
  const sealed = sealUserKeyRequest(recipient, place, order);
  const { keyId, enc, ciphertext } = sealed;
  const name = await create(options, { requester, keyId, enc, ciphertext });
  const response = sealed.openResponse(await sealedAnswer(options, { name, operation: order.control.operation }));
  if (response.outcome === 'refused') throw new CliError('Refused', response.message);
  if (!isFor(response, order.control.operation))
    throw new CliError('Refused', 'the operator answered another question');
  return response;
}

function isFor<O extends string>(response: Granted, operation: O): response is GrantedFor<O> {
  return response.operation === operation;
}

/**
 * Who the API server takes the caller for (SelfSubjectReview, KEP-3325). Not through `kubectl create`: that validates first, and
 * reading the schemas is more than a user may.
 */
async function whoAmI(kubectl: Kubectl): Promise<UserInfo> {
  const answer = await kubectl.json<{ status: { userInfo: UserInfo } }>(['auth', 'whoami']);
  if (answer === undefined) throw new CliError('Kubectl', 'this API server is older than Kubernetes 1.28');
  const { username, uid, groups, extra = {} } = answer.status.userInfo;
  const { [credentialId]: _, ...told } = extra;
  const more = Object.keys(told).length === 0 ? {} : { extra: told };
  return { username, ...(uid === undefined ? {} : { uid }), groups: groups ?? [], ...more };
}

async function intakeKey({ kubectl, operatorNamespace }: AskOptions): Promise<IntakePublicKey> {
  const configMap = await kubectl.json<{ data?: Partial<IntakePublicKey> }>([
    'get',
    'configmap',
    '-n',
    operatorNamespace,
    intakeConfigMapName,
  ]);
  const { keyId, publicKey, suite } = configMap?.data ?? {};
  if (keyId === undefined || publicKey === undefined || suite === undefined) {
    throw new CliError('NotInstalled', `the operator has published no key in namespace ${operatorNamespace}`, [
      'is MCP Keyring installed there? otherwise give --operator-namespace',
      `look at: kubectl -n ${operatorNamespace} get pods`,
    ]);
  }
  return { keyId, publicKey, suite };
}

async function create({ kubectl, namespace }: AskOptions, spec: object): Promise<string> {
  const object = { apiVersion, kind: 'UserKeyRequest', metadata: { generateName: 'ukr-', namespace }, spec };
  const made = await kubectl.json<UserKeyRequest>(
    ['create', '--validate=false', '-n', namespace, '-f', '-'],
    JSON.stringify(object),
  );
  if (made === undefined) throw new CliError('Kubectl', `there is no namespace ${namespace}`);
  return made.metadata.name;
}

interface Asked {
  /** Of the UserKeyRequest. */
  readonly name: string;
  readonly operation: UserKeyOperation;
}

/** What a request that is still there may do after nobody waits for it any more. */
const doubts: Readonly<Record<UserKeyOperation, string>> = {
  set: '; it is not known whether anything was stored',
  delete: '; it is not known whether the key was destroyed',
  list: '',
  test: '',
  status: '',
  'token-create': '; it is not known whether the token was made',
  'token-list': '',
  'token-revoke': '; it is not known whether the token was revoked',
  revoke: '; it is not known which keys were revoked: run it again',
  'approval-request': '; it is not known whether it was asked for',
  'approval-list': '',
  'approval-grant': '; it is not known whether it was granted',
  'approval-refuse': '; it is not known whether it was refused: run it again',
};

async function sealedAnswer(options: AskOptions, { name, operation }: Asked): Promise<string> {
  const { kubectl, namespace, operatorNamespace, timeoutMs } = options;
  const endAt = performance.now() + timeoutMs;
  while (performance.now() < endAt) {
    const request = await kubectl.json<UserKeyRequest>(['get', 'userkeyrequests.mcpkeyring.io', '-n', namespace, name]);
    if (request === undefined)
      throw new CliError('Refused', 'the request was deleted before it was answered; try again');
    const { sealedResponse, conditions } = request.status ?? {};
    if (sealedResponse !== undefined) return sealedResponse;
    const failed = conditions?.find((condition) => condition.type === 'Complete' && condition.status === 'False');
    if (failed !== undefined) throw new CliError('Refused', failed.message);
    await delay(pollMs);
  }
  throw new CliError('Timeout', `the operator did not answer within ${timeoutMs / 1000} s${doubts[operation]}`, [
    `look at: kubectl -n ${operatorNamespace} get pods; kubectl get userkeyrequest ${name} -n ${namespace} -o yaml`,
  ]);
}
