import { rpcCodes } from '../mcp/answers.ts';
import type { HeaderHintText, KeyAbsence } from '../proxy/exchange.ts';

/** What a person is told whose key is missing or of no use. Nothing of a key is in it. */

export const absences: Record<
  KeyAbsence['decision'],
  {
    readonly code: number;
    /** Whether setting a key helps. */
    readonly isCuredByKey: boolean;
    readonly sentence: (title: string) => string;
  }
> = {
  missing: {
    code: rpcCodes.keyMissing,
    isCuredByKey: true,
    sentence: (title) => `${title} needs your own key, and you have not set one.`,
  },
  invalid: {
    code: rpcCodes.keyInvalid,
    isCuredByKey: true,
    sentence: (title) => `Your key for ${title} was rejected.`,
  },
  expired: {
    code: rpcCodes.keyExpired,
    isCuredByKey: true,
    sentence: (title) => `Your key for ${title} has expired.`,
  },
  pendingApproval: {
    code: rpcCodes.keyPendingApproval,
    isCuredByKey: false,
    sentence: (title) => `Your key for ${title} waits for approval.`,
  },
  unreadable: {
    code: rpcCodes.keyUnreadable,
    isCuredByKey: true,
    sentence: (title) =>
      `Your key for ${title} cannot be read. Set it again; if that does not help, ask your administrator.`,
  },
};

/** What they are told at a server whose users share a key. */
const sharedSentences: Readonly<Record<'missing' | 'invalid', (title: string) => string>> = {
  missing: (title) => `${title} is used with a key that its users share, and there is none for you.`,
  invalid: (title) => `The key that the users of ${title} share was rejected.`,
};

/** The upstream has refused the key of the organization. */
export function sharedRejection(subjectKey: string): KeyAbsence {
  const message = 'Ask your administrator for a new one.';
  return { decision: 'invalid', subjectKey, hints: [], message, keySource: 'shared' };
}

/** Whether a key of the user's own would help. */
export function isCuredByKey({ decision, keySource }: KeyAbsence): boolean {
  return keySource === undefined && absences[decision].isCuredByKey;
}

function sentenceOf({ decision, keySource }: KeyAbsence, title: string): string {
  const isShared = keySource === 'shared' && (decision === 'missing' || decision === 'invalid');
  return isShared ? sharedSentences[decision](title) : absences[decision].sentence(title);
}

export interface AbsenceText {
  readonly title: string;
  /** Where to set the key; absent when there is no page, or it would not help. */
  readonly url: string | undefined;
}

/** What is wrong, which header it is about, where to set it: the whole URL, as many clients show it as it is. */
export function describeAbsence(absence: KeyAbsence, { title, url }: AbsenceText): string {
  return lines(absence, title, url === undefined ? absence.message : `Set it here: ${url}`);
}

/** The same for whoever is shown the link beside it. */
export function describeBesideLink(absence: KeyAbsence, title: string): string {
  return lines(absence, title, '');
}

function lines(absence: KeyAbsence, title: string, last: string): string {
  const all = [sentenceOf(absence, title), ...absence.hints.map(describeHint), last];
  return all.filter((line) => line !== '').join('\n');
}

function describeHint(hint: HeaderHintText): string {
  const title = hint.title === undefined ? '' : ` (${hint.title})`;
  const parts = [`Header ${hint.name}${title}`, hint.help, hint.helpURL].filter((part) => part !== undefined);
  return parts.join(' - ');
}

export function absenceData(absence: KeyAbsence, url: string | undefined): object {
  return { reason: absence.decision, headers: absence.hints, ...(url === undefined ? {} : { url }) };
}
