import type { UserKeyPolicyHttp } from '#crds/v1alpha1/generated/user-key-policy.ts';

import { expiryIn } from '#contract/expiry-headers.ts';

import { type KeyField, type Network, type ProbePlace, sendChecked } from './checked-request.ts';
import { meets } from './expectation.ts';
import type { ProbeOutcome } from './verdict.ts';

export interface HttpProbe {
  readonly place: ProbePlace;
  readonly http: UserKeyPolicyHttp;
}

/** Asks the upstream itself. @throws ProbeFailure */
export async function probeByHttp(
  { place, http }: HttpProbe,
  keys: readonly KeyField[],
  network: Network,
): Promise<ProbeOutcome> {
  const url = new URL(http.url);
  const headers = { accept: 'application/json, */*' };
  const {
    status,
    headers: answered,
    text,
  } = await sendChecked({ place, url, method: http.method, headers, keys }, network);
  const isExpected = http.expectStatus?.includes(status) ?? (status >= 200 && status < 300);
  const endsAt = expiryIn({ get: (name) => answered[name]?.toString() });
  const answersRight = http.expect === undefined || meetsText(text, http.expect);
  return { kind: 'status', status, isExpected, meets: answersRight, ...(endsAt === undefined ? {} : { endsAt }) };
}

/** What is no JSON is a text by itself, for the path `$`. */
function meetsText(text: string, expect: NonNullable<UserKeyPolicyHttp['expect']>): boolean {
  try {
    return meets(JSON.parse(text), expect);
  } catch {
    return meets(text, expect);
  }
}
