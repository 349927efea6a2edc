import type { ClosedSet } from './fields.ts';
import { ifPresent, present, readInteger, readList, readObject, readOneOf, readText } from './fields.ts';
import { parseServerRef, parseSubjectKey } from './parse-common.ts';
import type { LimitPeriod, LimitRule, LimitRules, QuotaRequest, QuotaResponse } from './quota.ts';
import { bucketCharsMax, limitRulesMax, quotaMsMax, quotaWantedMax } from './quota.ts';
import { toolPatternCharsMax } from './watch.ts';

const bucketText = { charsMax: bucketCharsMax };
const duration = { min: 0, max: quotaMsMax };
const periods: ClosedSet<LimitPeriod> = { Second: true, Minute: true, Hour: true, Day: true };

/** @throws ContractError */
export function parseQuotaRequest(value: unknown): QuotaRequest {
  const { server, subjectKey, buckets } = readObject(value, 'quota request');
  return {
    server: parseServerRef(server, 'server'),
    subjectKey: parseSubjectKey(subjectKey, 'subjectKey'),
    buckets: readList(buckets, 'buckets', {
      itemsMax: limitRulesMax,
      item: (wish, path) => {
        const { bucket, wanted } = readObject(wish, path);
        return {
          bucket: readText(bucket, `${path}.bucket`, bucketText),
          wanted: readInteger(wanted, `${path}.wanted`, { min: 1, max: quotaWantedMax }),
        };
      },
    }),
  };
}

/** @throws ContractError */
export function parseQuotaResponse(value: unknown): QuotaResponse {
  const answer = readObject(value, 'quota response');
  const kind = readOneOf(answer['kind'], 'kind', { granted: true, limited: true });
  if (kind === 'limited') {
    return {
      kind,
      bucket: readText(answer['bucket'], 'bucket', bucketText),
      retryMs: readInteger(answer['retryMs'], 'retryMs', duration),
    };
  }
  const blocks = readList(answer['blocks'], 'blocks', {
    itemsMax: limitRulesMax,
    item: (block, path) => {
      const { bucket, granted, validMs } = readObject(block, path);
      return {
        bucket: readText(bucket, `${path}.bucket`, bucketText),
        granted: readInteger(granted, `${path}.granted`, { min: 1, max: quotaWantedMax }),
        validMs: readInteger(validMs, `${path}.validMs`, duration),
      };
    },
  });
  return { kind, blocks };
}

/** @throws ContractError */
export function parseLimitRules(value: unknown, path: string): LimitRules {
  const limits = readObject(value, path);
  return {
    rules: readList(limits['rules'], `${path}.rules`, { itemsMax: limitRulesMax, item: parseLimitRule }),
    onStoreFailure: readOneOf(limits['onStoreFailure'], `${path}.onStoreFailure`, { Open: true, Closed: true }),
  };
}

function parseLimitRule(value: unknown, path: string): LimitRule {
  const { bucket, per, max, match } = readObject(value, path);
  return present({
    bucket: readText(bucket, `${path}.bucket`, bucketText),
    per: readOneOf(per, `${path}.per`, periods),
    max: readInteger(max, `${path}.max`, { min: 0, max: Number.MAX_SAFE_INTEGER }),
    match: ifPresent(match, (found) => readText(found, `${path}.match`, { charsMax: toolPatternCharsMax })),
  });
}
