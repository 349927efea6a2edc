/**
 * What the system promises, each with an id. Pure data. A test cites an id with `test(verifies('area:case'), …)`; the structure test
 * fails when an id has no test or a test cites an unknown one.
 */
export const requirements = {
  'keys:two-users': 'two users of one server get their own keys',
  'keys:changed': 'a changed key is used within 2 s',
  'keys:deleted': 'a deleted key stops within 2 s',
  'keys:deleted-cut-off': 'a key deleted while the broker is cut off stops within 10 s of the cut',
  'keys:missing': 'a user without a key gets a tool result that names the header and says where to set it',
  'keys:copied-secret': "a sealed Secret copied to another user's name does not open",
  'keys:destroyed': 'a Secret from before a delete does not come back',
  'revocation:version':
    'a version that was revoked is never opened again, nor an older one, whatever is put back; a newer one works',
  'revocation:own': "a user revokes their own key and nobody else's, and works again with the next one",
  'revocation:rights': 'keys of others are revoked by whoever has the right to at that server, and by nobody else',
  'revocation:leaked':
    'whoever has a leaked value finds the keys of all users that hold it, and learns nothing of other keys',
  'revocation:on-record': 'each revoked key is on record once, with its version, who revoked it and why',
  'revocation:crash':
    'a revocation that is broken off anywhere is carried out by its next attempt, and spares what was set since',
  'revocation:interleavings':
    'however set, revoke and delete of one key interleave and break off, no lease has a value that was revoked, deleted or replaced before, and the last set works',
  'rotation:overlap':
    'a new key is used at once for what begins; what was opened with the old one ends within ten minutes, or at once when it was revoked',
  'revocation:one-way': 'the register of what was revoked never goes down nor away',
  'keys:silent-watch':
    'a key deleted while the watch is silent is not handed out: the cache has to show that it follows',
  'keys:refused': 'a key that its upstream refuses is told to its user and marked, and that version is not sent again',
  'keys:no-leak': 'no key appears in any log, event, audit record, metric or API server audit line',
  'admission:operator-down': 'a pod created while the operator is down is refused with a message that names the cause',
  'admission:others-untouched': 'pods without our label start while the operator is down',
  'admission:jobs-complete': 'a Job with the sidecar completes',
  'admission:no-exec': 'exec, attach and ephemeral containers into the sidecar are refused',
  'agents:own-user': 'an agent reaches a remote server with the key of each user it acts for, and never sees one',
  'agents:no-credential': 'an agent gets no key without the credential of a user, neither by its own pod token',
  'agents:injected-only': 'an agent gets keys for the servers that it was injected with, and for no others',
  'agents:moved-away': 'an agent whose namespace leaves the organization gets no keys any more',
  'agents:policies': 'nobody can give a running agent more servers, or make an agent of a running pod',
  'operator:killed-under-load': 'the operator killed under load loses no request that has a warm lease',
  'identity:bad-token': 'a forged, expired or foreign-audience token gets 401',
  'tokens:create':
    'a user makes an access token where the organization allows it, within its limits, and only the hash is stored',
  'tokens:use': 'an access token gets the key of its owner; its first use is on record',
  'tokens:own': 'users see and revoke their own access tokens only, and cannot take one over',
  'tokens:refused':
    'an access token is worth nothing when it is revoked, ended, or outside its servers, namespace and organization',
  'tokens:revoke': 'a revoked access token takes its cached leases with it',
  'tokens:operator-only': 'only the operator writes AccessTokens',
  'rights:own-name': 'a request is made in the name, groups and further attributes of who makes it, and in no others',
  'rights:verbs': 'an order is carried out only for users whom the API server lets do the verb that it needs',
  'rights:taken-away': 'a right that is taken away is gone for the next order',
  'rights:unanswered': 'when the API server cannot be asked what a user may do, nothing is done',
  'rights:can-i': 'kubectl auth can-i and the operator say the same',
  'rights:roles': 'each role may do exactly its row of the table, in the namespace where it is bound and nowhere else',
  'rights:own-only': 'users reach their own keys, requests and access tokens only',
  'rights:no-values': 'administrators see and end keys, and can neither read nor write one',
  'rights:key-state': 'only the operator writes what stands in a UserKey',
  'rights:hand-on': 'whoever administers a namespace can make users of it, and nothing more than they are',
  'rights:admins': 'the admins of an Organization administer its namespaces, exactly these, as long as they are named',
  'rights:admins-escalation': 'nobody gives by an Organization what they could not give by a RoleBinding',
  'rights:take-back': 'users list what they may use, and delete what is their own without any further right',
  'shared-keys:everybody':
    'every authenticated user of a server of mode Shared gets the key of the organization, and audit says so',
  'shared-keys:fallback': 'where both are allowed a user gets their own key, and the shared one only without one',
  'shared-keys:no-silent-fallback': "no state of a user's own key lets the shared one be used in its place",
  'shared-keys:in-effect':
    'a changed Secret is in effect at the sidecar within 5 s; without annotation or right nothing of it is',
  'shared-keys:agents': 'a shared key goes to no agent outside the namespace of its server',
  'shared-keys:own-secrets': "no server makes the operator send out one of the operator's own Secrets",
  'shared-keys:rejected': 'a shared key that the upstream refuses is marked on its server, and no key of a user',
  'discovery-keys:lists-only':
    'a key for discovery goes into the handshake and into lists of users without a key, never into a call',
  'discovery-keys:own-sessions':
    'a session that began with a key for discovery is not gone on with when its user has a key',
  'plans:standard': 'where the organization has shared keys only, no stored key of a user is used',
  'shared-keys:author-reads': 'nobody makes a server that sends out a Secret that they may not read themselves',
  'shared-keys:no-detour': 'nobody who may not read its Secret leads the key of a server elsewhere',
  'plans:standard-admission':
    'a server that wants keys of users is refused where the organization has shared keys only, and nowhere else',
  'approval:request':
    'a user asks for approval in words, or by setting a key, and waits on record, with a key or without',
  'approval:list':
    'approvers see who waits at the servers where they have the verb, and since when, and nobody else does',
  'approval:grant': 'an approver grants until a time that policies allow, on record before it is in force',
  'approval:refuse': 'an approver refuses with a reason that the user is told, also what was granted before',
  'approval:ends': 'a grant ends at its time, or as early as the strictest policy of now wants',
  'approval:renewal': 'asking for more takes nothing away while a grant goes on',
  'approval:approvers': 'who approves has the verb, and is in a group of each policy that names any',
  'approval:not-oneself': 'nobody approves their own key, under whichever login that can be known to be theirs',
  'approval:names': 'a grant goes by what identifies a user, never by what they call themselves',
  'approval:race': 'what one approver decides is not overruled unseen by another',
  'approval:deleted': 'a grant ends with its UserKey',
  'approval:on-record': 'each request and decision is on record once, whatever fails in between',
  'organizations:separate': 'what belongs to one organization is of no use in another',
  'states:lease': 'whatever is true of a key, what a lease gives is what the table of states says',
  'states:revoked-for-good': 'a revoked key is never handed out again, by no policy, approval, verdict or time',
  'policy:subjects':
    'a policy for some users holds for them alone: at the broker, in the tools they may call and list, in their limits',
  'policy:strictest': 'of several policies the strictest value of each field holds, whatever their order',
  'organizations:moved': 'a namespace that moves to another organization takes no key, token or right along',
  'organizations:own-room': 'no organization uses up what another may count, record or try',
  'identity:rotation': 'no token of a key that its issuer publishes is refused while the keys are rotated under load',
  'identity:garbage-issuer': 'an issuer that answers garbage identifies nobody and breaks nothing',
  'identity:groups': 'the groups of a user are read from the claim that the organization names, all of them or none',
  'key-release:outcome-receipts': 'only a pod that was given a key can tell that it was refused',
  'policy:secrets-by-role':
    'the secrets of a server reach only proxies that stand in front of it: not the gateway or agents, where it is in the cluster',
  'identity:other-server': "a user's token shown by a pod of another server gets no key",
  'identity:service-account': 'a Kubernetes ServiceAccount is a user with a key of its own',
  'audit:gateway-refusals': 'what a gateway refuses that is for a server in the cluster is on record, once',
  'audit:exactly-one':
    'every request has exactly one audit event, a stream one more at its opening; floods of strangers are counted',
  'cli:commands': 'the kubectl plugin sets, lists, shows, explains and deletes',
  'cli:never-argv': 'the plugin takes no key from its arguments',
  'charts:life-cycle':
    'install, upgrade with a CRD change, rollback and uninstall of the charts leave user data in place',
  'charts:helm-test': 'helm test passes',
  'managed:runs': 'a managed McpServer is run by the operator and reached through its sidecar',
  'mcp:08-session-owner': 'a session belongs to the user who began it; to another it does not exist',
  'mcp:08-replicas':
    'a session belongs to its user at every replica of a gateway and every pod of a server, also after a restart',
  'mcp:08-real-sessions': "nobody continues another's session of a real server: its streams, its end, its questions",
  'mcp:08-tasks': 'a task belongs to the user for whom it was begun; to another it does not exist',
  'mcp:08-task-lists': 'a list of tasks names those of the user who asks, and none that cannot be told to be theirs',
  'mcp:08-task-notifications':
    "news of a task reaches no stream of another user, and nobody can listen to another's task",
  'mcp:09-same-user':
    'streams, resumed streams and the end of a session go with the key of the user whose session it is',
  'mcp:09-posted-answers': 'a client may answer only what the server asked that user in that session, once',
  'mcp:17-no-stream': 'a GET that is answered without a stream is 405; a refusal of the server goes through as it is',
  'mcp:18-sse-bytes': 'chunks of a stream go on as they come, byte for byte',
  'mcp:18-no-delay':
    'the first event of a stream is there within 5 ms of the server sending it, and every later one as it comes',
  'mcp:19-keep-alive': 'a silent stream gets a comment at once and every 15 s, between events only',
  'mcp:19-stream-headers': 'event streams are marked not to be buffered or transformed on the way',
  'key-release:streams-end':
    'an open stream ends, on record with the reason, when the login or the key that it was opened with has ended',
  'mcp:29-stream-events': 'a stream has one event at its opening and one at its end',
  'mcp:18-sse-parsing':
    'event streams are read as they come, with LF, CR and CRLF, cut anywhere, and go on byte for byte',
  'mcp:20-endpoint': 'on the old transport a client is told where to post as it reaches that, whatever is in front',
  'mcp:20-owner':
    'messages of the old transport are taken from the user who opened the stream, and only where the server said',
  'mcp:20-real-clients':
    'clients and servers of the old transport work through the sidecar, each user with their own key',
  'mcp:20-answers': 'a request of the old transport ends on record with the answer that comes on the stream',
  'mcp:29-audit-record':
    'an audit event says who asked what of which era, how it was decided and answered, and holds no argument, result or secret',
  'mcp:30-metrics':
    'operations are counted under the names and buckets of OpenTelemetry, in a bounded number of series, without users',
  'mcp:30-session-duration':
    'sessions are measured under the name and buckets of OpenTelemetry, with labels of small sets and without users',
  'mcp:31-trace-context': 'the trace is read from the message, then from the header, and is passed on as it came',
  'mcp:07-own-challenge': 'only who cannot be identified gets a 401, with our own challenge that names where to log in',
  'mcp:25-no-redirects': 'a redirect of the upstream is not followed and not passed on',
  'mcp:25-checked-addresses':
    'no key goes to an address that is private, loopback, link-local or of a metadata service',
  'mcp:26-host-origin': 'web pages of other origins, and names that are not served, are refused with 403',
  'mcp:26-host-of-each':
    'host names and origins are those of the server that is asked, in force within a second of being written',
  'bounds:at-once':
    'time and size of requests are what the McpServer says, in force within a second, without a new pod',
  'bounds:of-each': 'a gateway holds each server to its own bounds',
  'bounds:never-more': 'no McpServer allows more than the proxy was started with',
  'mcp:26-host-is-the-upstreams': 'the upstream sees its own Host',
  'gateway:handshake-limit':
    'a server that accepts a connection and never ends the TLS handshake is given up in time, and its connection closed',
  'gateway:own-ca-only':
    'the CA that an McpServer names takes the place of the public roots: a certificate of those is refused',
  'gateway:forward-proxy':
    'remote servers are reached through the declared forward proxy, which sees TLS to the declared origin and nothing in it',
  'gateway:forward-proxy-refuses':
    'a forward proxy that does not let through, or says something else, has a code of its own, in bounded time',
  'gateway:forward-proxy-addresses':
    'through a forward proxy no key goes to private addresses and names of own networks that nobody allowed, or to another host than the declared',
  'gateway:http2-only': 'a server that speaks HTTP/2 only is told by a code of its own, with what to do',
  'gateway:relay-connect-limit': 'a sidecar that accepts no connection is waited for no longer than the McpServer says',
  'gateway:relay-streams-bodies': 'a body for a server of the cluster goes on as it comes, and is never kept whole',
  'availability:silent-broker':
    'a broker that accepts connections and says nothing holds no request for longer than 8 s',
  'gateway:oauth-flow': "the official client's OAuth flow leads from the gateway's challenge to the tool result",
  'gateway:serves': 'the gateway of the chart serves a remote server and a server of the cluster',
  'mcp:27-tls-verified': 'a remote upstream is verified by its name and its CA, and by nothing else',
  'format:says-no-value': 'what is said of a value that breaks a rule names the rule, and nothing of the value',
  'expiry:strictest':
    'of several policies the strictest of each field of expiry holds, in any order, and one more makes none laxer',
  'expiry:time-moves-on':
    'time moves a key from fresh over expiring to expired only, and a newer version makes it fresh again',
  'expiry:at-the-lease':
    'an expired key is refused by the time of the lease, whatever its status says, and no lease outlives its key',
  'expiry:declared':
    'a key is used until its user said that it ends, and nobody prolongs it by editing what lies in the cluster',
  'expiry:declared-refused':
    'an end in the past, beyond the year 9999 or that is no time at all is refused, and nothing is stored',
  'expiry:least':
    'the first of what its user said, what was detected and the maximum age ends a key, and the reason tells which',
  'expiry:detected-jwt':
    'the end that a JSON Web Token has in it is found when it is set, whatever else is in it, and nothing of it is in any text',
  'expiry:detected-upstream':
    'the end that an upstream tells of a key is believed of pods that had the key only, when it is sane, and ends the key whatever policies say',
  'key-use:last': 'when a key was handed out last is on its UserKey, and only when it was really handed out',
  'key-use:quiet':
    'the use of a key is written once in ten minutes, however often it is handed out and by however many replicas',
  'expiry:everywhere': 'Expiring and Expired stand in UserKey, McpServer, metrics and command line within 2 s alike',
  'validation:verdicts': 'a probe tells 401 from 403, and neither from 429, 5xx and answers that say nothing of a key',
  'validation:no-other-place':
    'whoever writes a policy cannot have keys sent anywhere but to the server and the origins that it lists',
  'validation:budget': 'probes of one upstream never exceed its budget, and every key that is due has its turn',
  'validation:credential-bound':
    'a probe credential is of use to the sidecar of the very server that it was made for, and to nobody else',
  'validation:through-sidecar': 'a key is tried at a server of the cluster by the way that calls take',
  'validation:unusable-probe': 'a policy whose probe cannot work says so, and what to change',
  'validation:enforced': 'where a policy enforces it, no key is stored that its upstream has not accepted',
  'validation:schedule': 'every stored key is probed within its schedule and jitter',
  'validation:invalid-after-failures':
    'a key is Invalid after as many failed probes in a row as the policy takes, in that version, and not before',
  'validation:upstream-suspected':
    'an upstream that refuses several users and serves none is at fault itself: no key is',
  'validation:unknown-tool': 'a tool that the server does not list says nothing of the key',
  'unsupported:refused': 'a field without behaviour yet is refused with "not supported yet"',
  'mcp:01-two-eras': "both eras on one port, told apart by the body as the official SDK's server tells them apart",
  'mcp:02-pass-through':
    'heads and bodies pass as they are, both ways; the sidecar adds the key and takes credentials away',
  'mcp:02-streams-byte-for-byte': 'event streams pass byte for byte and without delay',
  'mcp:03-headers-repeat-body':
    'a modern request whose headers do not repeat its body is refused with -32020 and its id',
  'mcp:04-no-policy-on-headers': 'Mcp-Method and Mcp-Name of a legacy request decide nothing and pass unchanged',
  'mcp:05-one-reading': 'a body that two parsers could read in two ways is refused, with its id where it is known',
  'mcp:06-strip': 'no copy of an injected header, no credential and no identity header of a client reaches the server',
  'mcp:10-missing-key':
    'a missing key is told in the richest form that the client takes: input_required, -32042, a tool result, an error',
  'mcp:10-completion':
    'a legacy client that was led to the page hears on the stream of its session that the key has come',
  'mcp:11-request-state':
    'our requestState is sealed and bound to user, server, call and time, and never reaches the server; any other passes',
  'mcp:12-key-page-link':
    'the link to the key page names nobody, is over TLS, for the user who was asked, and has one number by which the page counts it once',
  'mcp:13-refused-key':
    'a 401 to an injected key is answered by us, marks that key alone, and never loops; 403 and 5xx do not',
  'mcp:14-handshake-without-key': 'handshake, discovery, ping and lists do not depend on a key',
  'mcp:15-own-codes':
    'errors of our own have codes outside -32768..-32000; what cannot be answered is refused without a body',
  'mcp:15-answers': 'an error about a request that was read is its answer: HTTP 200 with its id, whatever went wrong',
  'mcp:15-clients-understand': 'official clients of both eras show which error of ours it is, and its sentence',
  'mcp:16-private-lists':
    'a list that a policy was held against is private; results that we write say what kind they are',
  'limits:exact': 'a user gets what a limit allows and no more, whoever dies with granted requests in hand',
  'limits:days': 'a day begins at midnight of its time zone, also where clocks are changed',
  'limits:replicas': 'several replicas together grant what one would, never more',
  'limits:sidecars': 'sidecars of one server count together',
  'limits:redis': 'with Valkey or Redis the same is granted, whichever replica is asked',
  'limits:killed-replica': 'a replica that is killed under load takes granted requests with it, and gives nobody more',
  'limits:restart': 'what was counted is counted after every restart, on whatever node',
  'limits:answer': 'a limited request is answered with its id, the limit, and when to try again, and is on record',
  'limits:store-failure': 'while nobody can count, requests pass or not as the policy says',
  'tools:denied': 'a tool that a policy does not allow cannot be called, is not listed, and the refusal is on record',
  'tools:at-once': 'a new policy is in force within a second, on open streams too, and ends none of them',
  'mcp:21-timeouts': 'connection and answer have limits that can be set; a stream that has begun has none',
  'mcp:22-retry-once':
    'what has no effect is sent once more when a kept connection breaks off without an answer; a call never is',
  'mcp:23-client-leaves':
    'the upstream request ends when its client leaves, in both eras; no cancellation is made up, and it is on record',
  'mcp:24-cancelled': 'a cancellation reaches the same server and session, its id unchanged',
  'mcp:32-drain': 'SIGTERM lets answers finish and ends streams cleanly; a new policy or key ends none',
  'mcp:28-framing':
    'a response passes byte for byte; one that is changed is not encoded and has one length, which is right',
  'echo:masked': 'a key that a server sends back is masked in body, header and error, counted, and on record',
  'echo:former-keys':
    'of a user whose key changes no key comes back: in streams of before, in later answers, and in those without a key',
  'mcp:33-conformance': 'the official conformance suite finds the same with and without sidecar or gateway',
  'mcp:33-real-partners':
    'the official SDKs, FastMCP and the Inspector see real servers through the sidecar as without it',
} as const satisfies Record<string, string>;

export type RequirementId = keyof typeof requirements;

/** Title of a test that proves a requirement. */
export function verifies(id: RequirementId): string {
  return `[${id}] ${requirements[id]}`;
}
