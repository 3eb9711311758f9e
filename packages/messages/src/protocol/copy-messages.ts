/** Copying a data directory block by block (replication §4): full and differential recovery, standby init. The receiver asks. Purpose `copy`. */
import { define } from './define.ts'
import * as f from './field.ts'

export const copyMessages = {
  'copy.begin': define(
    'Begin an online backup. Refused while another one runs (copy.busy) or on a mirror (not.primary).',
    'copy.begun',
    {
      dbid: f.dbid('the asking instance'),
      content: f.content('its content'),
      epoch: f.epoch('highest epoch that the asker promised'),
      checkpoint: f.oneOf(['fast'], 'how the checkpoint at the beginning is done'),
    },
  ),
  'copy.begun': define('The backup has begun; its files may be read now.', null, {
    copyId: f.text('names this backup'),
    startLsn: f.lsn('WAL from here on is needed'),
    timeline: f.timeline('timeline at the start'),
    files: f.list(
      f.tuple(
        [f.text('path below pgdata'), f.uint('size'), f.uint('mode bits')],
        'a file (size) or folder (path ends in /)',
      ),
      'what to copy, pg_control last',
    ),
  }),
  'copy.hashes': define('Hashes of the blocks of a file.', 'copy.hashesAre', {
    copyId: f.text('the backup'),
    path: f.text('path below pgdata'),
    firstBlock: f.uint('number of the first block'),
    blocks: f.uint('how many, 8,192 at most'),
  }),
  'copy.hashesAre': define('One 8-byte hash per 8 KiB block; fewer when the file ends.', null, {
    hashes: f.bytes('concatenated'),
  }),
  'copy.read': define('Blocks of a file.', 'copy.bytes', {
    copyId: f.text('the backup'),
    path: f.text('path below pgdata'),
    offset: f.uint('from this byte'),
    length: f.uint('at most 4 MiB'),
  }),
  'copy.bytes': define('The bytes; fewer when the file ends, none when it is gone.', null, {
    bytes: f.bytes('as on disk'),
  }),
  'copy.end': define('End the backup.', 'copy.ended', { copyId: f.text('the backup') }),
  'copy.ended': define('What the copy needs to be recovered.', null, {
    backupLabel: f.text('content of backup_label'),
    endLsn: f.lsn('WAL up to here is needed'),
    timeline: f.timeline('timeline at the end'),
    history: f.nullable(f.bytes('history file of the timeline, if it has one')),
  }),
} as const
