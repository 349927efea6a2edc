import { randomUUID } from 'node:crypto';

import { type IntakePublicKey, sealUserKeyRequest, type UserKeyOrder } from '#cli/contract/user-key-request.ts';
import type { UserKeyResponse } from '#cli/contract/responses.ts';
import type { ControlPlane } from '#test/support/control-plane.ts';

import { applyAll, operatorNamespace, usersGroup } from './installation.ts';
import { find } from './objects.ts';

const answerMsMax = 15_000;

/** Does what `kubectl mcpkeys` does: seals an order to the operator, and waits for the answer in the status. */
export async function order(
  plane: ControlPlane,
  place: { readonly namespace: string; readonly username: string },
  what: UserKeyOrder,
): Promise<UserKeyResponse> {
  const sealed = sealUserKeyRequest(await intakeKey(plane), place, what);
  const name = `ukr-${randomUUID().slice(0, 8)}`;
  const { keyId, enc, ciphertext, openResponse } = sealed;
  const spec = { requester: { username: place.username, groups: [usersGroup] }, keyId, enc, ciphertext };
  const metadata = { name, namespace: place.namespace };
  await applyAll(plane, [{ apiVersion: 'mcpkeyring.io/v1alpha1', kind: 'UserKeyRequest', metadata, spec }]);
  const deadline = Date.now() + answerMsMax;
  while (Date.now() < deadline) {
    const found = await find(plane, `ukr/${name}`, '-n', place.namespace);
    const answer = found?.status?.['sealedResponse'];
    if (typeof answer === 'string') return openResponse(answer);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`the operator did not answer within ${answerMsMax} ms`);
}

async function intakeKey(plane: ControlPlane): Promise<IntakePublicKey> {
  const deadline = Date.now() + answerMsMax;
  while (Date.now() < deadline) {
    const data = (await find(plane, 'configmap/mcp-keyring-intake', '-n', operatorNamespace))?.['data'];
    if (data !== undefined) return data as IntakePublicKey;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('there is no intake key');
}
