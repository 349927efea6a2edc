import type { Era } from './message.ts';
import { type FilteredMessage, filterResultList, type ListShape } from './result-list.ts';
import type { ToolFilter } from './tool-rules.ts';

/** In any letters, as some parsers do not mind case; or an escape, or another encoding, that could hide it. */
const tools: ListShape = { list: 'tools', name: 'name', mayHold: /"tool[s\u017F]"|\\u|\0/i };

/** Takes the tools that nobody may call out of the answer to `tools/list`. */
export function filterToolList(text: string, filter: ToolFilter, era: Era): FilteredMessage {
  return filterResultList(text, tools, { allows: (name) => filter.allows(name), markedFor: era });
}
