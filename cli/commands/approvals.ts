import type { ApprovalCommand } from '../approval-options.ts';
import { askOperator } from '../ask-operator.ts';
import type { ListScope, World } from '../commands.ts';
import type { ApprovalView, WaitingUser } from '../contract/approval-responses.ts';
import type { KeyEnd } from '../contract/expiry-text.ts';
import { CliError } from '../errors.ts';
import { age, kubernetesIssuer, table } from '../output.ts';

export async function approvalCommand(world: World, command: ApprovalCommand, scope: ListScope): Promise<void> {
  switch (command.name) {
    case 'request':
      return await requestApproval(world, command);
    case 'approvals':
      return await listApprovals(world, command.server, scope);
    case 'approve':
      return await approve(world, command);
    case 'refuse':
      return await refuse(world, command);
  }
}

type Of<Name extends ApprovalCommand['name']> = Extract<ApprovalCommand, { readonly name: Name }>;

async function requestApproval(world: World, { server, reason }: Of<'request'>): Promise<void> {
  const control = {
    v: 1,
    operation: 'approval-request',
    server,
    ...reasonField(reason),
    ...tokenField(world),
  } as const;
  const answer = await askOperator(world, { control, headers: [] });
  if (world.output === 'json') return world.print(JSON.stringify(answer, undefined, 2));
  const { approval } = answer;
  if (approval.state === 'Granted') {
    world.print(`${server}: granted${untilOf(approval)}; you have asked for more, and lose nothing meanwhile`);
  } else {
    world.print(`${server}: you have asked for approval; your key is used as soon as an approver grants it`);
  }
}

type Row = WaitingUser & { readonly namespace: string };

async function listApprovals(world: World, server: string | undefined, scope: ListScope): Promise<void> {
  const rows: Row[] = [];
  let more = 0;
  for (const namespace of scope.namespaces) {
    try {
      const answer = await waitingIn({ ...world, namespace }, server);
      rows.push(...answer.waiting.map((one) => ({ ...one, namespace })));
      more += answer.more;
    } catch (error) {
      if (!scope.everywhere || !(error instanceof CliError)) throw error;
      world.say(`note: ${namespace} is left out: ${error.message}\n`);
    }
  }
  if (world.output === 'json') return world.print(JSON.stringify({ waiting: rows, more }, undefined, 2));
  if (rows.length === 0) return world.say('nobody waits for approval where you have the right to give it\n');
  world.print(waitingTable(rows, { everywhere: scope.everywhere, now: world.now }));
  if (more > 0) world.print(`and ${more} more: kubectl get userkeys --field-selector status.approval.state=Requested`);
  const problems = new Set(rows.flatMap(({ undecidable }) => undecidable ?? []));
  for (const problem of problems) world.say(`note: those with a * you cannot decide about: ${problem}\n`);
  const [first] = rows.filter(({ undecidable }) => undecidable === undefined);
  if (first !== undefined) {
    world.say(`for example: kubectl mcpkeys approve ${first.server} -n ${first.namespace} --user ${first.key}\n`);
  }
}

function waitingIn(world: World, server: string | undefined) {
  const where = server === undefined ? {} : { server };
  return askOperator(world, {
    control: { v: 1, operation: 'approval-list', ...where, ...tokenField(world) },
    headers: [],
  });
}

function waitingTable(rows: readonly Row[], { everywhere, now }: { readonly everywhere: boolean; readonly now: Date }) {
  const cells = rows.map((row) => [
    ...(everywhere ? [row.namespace] : []),
    row.server,
    `${row.key}${row.undecidable === undefined ? '' : ' *'}`,
    row.user.name,
    row.user.issuer === kubernetesIssuer ? row.user.id : `${row.user.id} of ${row.user.issuer}`,
    row.waiting,
    row.askedAt === undefined ? '' : age(row.askedAt, now),
    row.until?.slice(0, 10) ?? '',
    row.reason ?? '',
  ]);
  const names = ['SERVER', 'USER', 'CALLED', 'ID', 'WAITING', 'SINCE', 'UNTIL', 'REASON'];
  return table([...(everywhere ? ['NAMESPACE'] : []), ...names], cells);
}

async function approve(world: World, { server, user, end, reason }: Of<'approve'>): Promise<void> {
  const what = { server, user, ...endField(end), ...reasonField(reason) };
  const control = { v: 1, operation: 'approval-grant', ...what, ...tokenField(world) } as const;
  const answer = await askOperator(world, { control, headers: [] });
  if (world.output === 'json') return world.print(JSON.stringify(answer, undefined, 2));
  world.print(`${answer.user.id} may have a key for ${server}${untilOf(answer.approval)}`);
}

async function refuse(world: World, { server, user, reason }: Of<'refuse'>): Promise<void> {
  const control = { v: 1, operation: 'approval-refuse', server, user, reason, ...tokenField(world) } as const;
  const answer = await askOperator(world, { control, headers: [] });
  if (world.output === 'json') return world.print(JSON.stringify(answer, undefined, 2));
  world.print(`${answer.user.id} may have no key for ${server}; one that is set is not used any more`);
}

function untilOf({ until }: ApprovalView): string {
  return until === undefined ? '' : ` until ${until}`;
}

function endField(end: KeyEnd | undefined): { readonly until?: string; readonly lifeSeconds?: number } {
  if (end === undefined) return {};
  return end.kind === 'at' ? { until: end.at } : { lifeSeconds: end.seconds };
}

function reasonField(reason: string | undefined): { readonly reason?: string } {
  return reason === undefined ? {} : { reason };
}

function tokenField({ token }: World): { readonly token?: string } {
  return token === undefined ? {} : { token };
}
