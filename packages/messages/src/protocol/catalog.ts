/** All messages of the cluster protocol. docs/protocol.md is generated from this table; validation runs on it. */
import { copyMessages } from './copy-messages.ts'
import { define } from './define.ts'
import { dispatchMessages } from './dispatch-messages.ts'
import * as f from './field.ts'
import { faultMessages } from './fault-messages.ts'
import { ftsMessages } from './fts-messages.ts'
import { instanceMessages } from './instance-messages.ts'
import { mirrorMessages } from './mirror-messages.ts'
import { walMessages } from './wal-messages.ts'

const commonMessages = {
  ok: define('Done, nothing to add.', null, {}),
  error: define('Answer to a request that was refused or failed.', null, {
    code: f.text('code of the error page'),
    message: f.text('sentence with subject and numbers'),
    detail: f.json<Record<string, unknown> | null>('facts for programs, or null'),
  }),
} as const

export const messageCatalog = {
  ...commonMessages,
  ...ftsMessages,
  ...walMessages,
  ...dispatchMessages,
  ...copyMessages,
  ...instanceMessages,
  ...mirrorMessages,
  ...faultMessages,
} as const
