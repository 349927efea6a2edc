import { membersOf, rootOf } from './json-spans.ts';
import { type FilteredMessage, filterResultList, type ListShape, onlyMember, textOfMember } from './result-list.ts';

/** Whether the user who would read it may know of a task. */
export type KnowsTask = (taskId: string) => boolean;

const tasks: ListShape = {
  list: 'tasks',
  name: 'taskId',
  mayHold: /"ta[s\u017F][k\u212A][s\u017F]"|\\u|\0/i,
};

/** Takes other users' tasks out of the answer to `tasks/list` (revision 2025-11-25). */
export function filterTaskList(text: string, knows: KnowsTask): FilteredMessage {
  return filterResultList(text, tasks, { allows: knows });
}

/** `notifications/tasks/status` (2025-11-25) and `notifications/tasks` (the extension of 2026-07-28). */
const notification = 'notifications/tasks';

/** Whether a message of the server tells of a task that the user who would read it may not know, or cannot be judged. */
export function tellsOfOthersTask(text: string, knows: KnowsTask): boolean {
  if (!/tasks|\\/.test(text)) return false;
  const members = membersOfObject(text);
  const method = onlyMember(members, 'method');
  if (method === undefined) return false;
  if (method === 'ambiguous') return true;
  if (textOfMember(text, method)?.startsWith(notification) !== true) return false;
  const params = onlyMember(members, 'params');
  if (params === undefined || params === 'ambiguous' || text[params.start] !== '{') return true;
  const task = onlyMember(membersOf(text, params), 'taskId');
  const id = task === undefined || task === 'ambiguous' ? undefined : textOfMember(text, task);
  return id === undefined || !knows(id);
}

function membersOfObject(text: string): ReturnType<typeof membersOf> {
  try {
    JSON.parse(text);
  } catch {
    return [];
  }
  const root = rootOf(text);
  return text[root.start] === '{' ? membersOf(text, root) : [];
}

/**
 * What the beginning of a message tells of the rest. `call`: a request or notification that is none about a task. `otherAnswer`: an
 * answer that is no list of tasks. `answer`: one that may be.
 */
export type Beginning = 'call' | 'otherAnswer' | 'answer' | 'unknown';

const begun = /^\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?(?:"id"\s*:\s*(?:\d+|"[^"\\]*")\s*,\s*)?/;
const method = /^"method"\s*:\s*"([^"\\]+)"/;
/** First members of the results of other methods. */
const otherAnswer =
  /^"(?:error"|result"\s*:\s*\{\s*"(?:content|isError|structuredContent|contents|messages|tools|prompts|resources|resourceTemplates|completion|protocolVersion)")/;

/** `text` may be cut anywhere. */
export function beginningOf(text: string): Beginning {
  const start = begun.exec(text)?.[0];
  if (start === undefined) return 'unknown';
  const rest = text.slice(start.length, start.length + methodCharsMax);
  const called = method.exec(rest)?.[1];
  if (called !== undefined) return called.startsWith(notification) ? 'unknown' : 'call';
  if (otherAnswer.test(rest)) return 'otherAnswer';
  return rest.startsWith('"result"') ? 'answer' : 'unknown';
}

/** Enough for the name of a method, or for the beginning of a result. */
const methodCharsMax = 512;
