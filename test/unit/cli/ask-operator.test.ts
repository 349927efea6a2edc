import { expect, test, vi } from 'vitest';
import { askOperator } from '#cli/ask-operator.ts';
import type { UserKeyControl } from '#cli/contract/request-control.ts';
import { sealUserKeyRequest } from '#cli/contract/user-key-request.ts';
import { Kubectl } from '#cli/kubectl.ts';

vi.mock('#cli/contract/user-key-request.ts');

/** An operator that never answers. */
async function timeoutOf(control: UserKeyControl): Promise<string> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  vi.mocked(sealUserKeyRequest).mockReturnValue({ keyId: 'k', enc: '', ciphertext: '' } as never);
  const kubectl = new Kubectl([]);
  vi.spyOn(kubectl, 'json').mockResolvedValue({
    status: { userInfo: { username: 'alice' } },
    data: { keyId: 'k', publicKey: 'p', suite: 's' },
    metadata: { name: 'ukr-1' },
  });
  const options = { kubectl, namespace: 'team-a', operatorNamespace: 'mcp-keyring', timeoutMs: 10 };
  return askOperator(options, { control, headers: [] }).then(
    () => 'answered',
    (error: unknown) => (error as Error).message,
  );
}

test.each([
  ['set', /; it is not known whether anything was stored$/u],
  ['delete', /; it is not known whether the key was destroyed$/u],
  ['status', /within 0\.01 s$/u],
] as const)('no answer in time to %s says only what is in doubt', async (operation, words) => {
  expect(await timeoutOf({ v: 1, operation, server: 'notes' })).toMatch(words);
});

test('no answer in time to list leaves nothing in doubt', async () => {
  expect(await timeoutOf({ v: 1, operation: 'list' })).toMatch(/within 0\.01 s$/u);
});
