import { isJsonObject } from '../contract/fields.ts';
import { foldKey } from './watched-keys.ts';

/** Most tasks that one subscription names: as many as are remembered of a user. */
export const subscribedTasksMax = 1_024;

const decoder = new TextDecoder();

/**
 * The tasks that a `subscriptions/listen` names (`params.notifications.taskIds`); `unreadable` where a server could read others, or
 * where there are too many. The body was accepted as a message already, so no key is in it twice.
 */
export function subscribedTasks(bytes: Uint8Array): readonly string[] | 'unreadable' {
  const text = decoder.decode(bytes);
  if (!/ta[s\u017F][k\u212A]|\\u/i.test(text)) return [];
  const body: unknown = JSON.parse(text);
  const params = isJsonObject(body) ? body['params'] : undefined;
  const wanted = memberOf(params, 'notifications');
  const ids = wanted === 'unreadable' ? wanted : memberOf(wanted, 'taskIds');
  if (ids === 'unreadable') return ids;
  if (ids === undefined || ids === null) return [];
  const isGood = Array.isArray(ids) && ids.length <= subscribedTasksMax && ids.every((id) => typeof id === 'string');
  return isGood ? ids : 'unreadable';
}

/** A key in other letters is the same to some parsers. */
function memberOf(value: unknown, name: string): unknown {
  if (!isJsonObject(value)) return undefined;
  const folded = foldKey(name);
  const alike = Object.keys(value).filter((key) => foldKey(key) === folded);
  return alike.every((key) => key === name) ? value[name] : 'unreadable';
}
