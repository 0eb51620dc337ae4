"""Lua scripts: what must happen at once. Keys of one script share a hash tag."""

from __future__ import annotations

__all__ = [
    "COMMIT",
    "ERASE",
    "PUT_IMPRESSION",
    "PUT_ITEMS",
    "READ_ITEMS",
    "REGISTER_ITEMS",
    "REPLACE_IMPRESSION",
    "REPLACE_ITEM",
    "SETTLE",
]

COMMIT = """
-- KEYS: state, events. ARGV: expected head, state, state ttl, events, events ttl.
-- Returns 1, or 0 where somebody was faster.
if redis.call('GETRANGE', KEYS[1], 0, 11) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
if ARGV[4] ~= '' then redis.call('SET', KEYS[2], ARGV[4], 'EX', ARGV[5]) end
return 1
"""

ERASE = """
-- KEYS: state, events, impression index. ARGV: new state, its ttl, expected head or '*'.
-- Returns 1, or 0 where the state has changed since it was read.
if ARGV[3] ~= '*' and redis.call('GETRANGE', KEYS[1], 0, 11) ~= ARGV[3] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
for _, key in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do redis.call('DEL', key) end
redis.call('DEL', KEYS[2], KEYS[3])
return 1
"""

PUT_IMPRESSION = """
-- KEYS: impression, impression index, state. ARGV: impression, ttl, forgotten before, expires, life, where a state
-- holds its life.
-- Returns 1, 0 where the id is taken, -1 where the user has been deleted since: nothing may be left of that life.
local life = redis.call('GETRANGE', KEYS[3], ARGV[6], ARGV[6] + 7)
if life == '' then life = string.rep('\\0', 8) end
if ARGV[5] ~= '' and life ~= ARGV[5] then return -1 end
if not redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2], 'NX') then return 0 end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[4], KEYS[1])
redis.call('EXPIRE', KEYS[2], ARGV[2])
return 1
"""

SETTLE = """
-- KEYS: state, impression index, impressions. ARGV: expected head, state or '' to leave it as it is, state ttl.
-- Returns 1, or 0 where somebody was faster.
if redis.call('GETRANGE', KEYS[1], 0, 11) ~= ARGV[1] then return 0 end
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3]) end
for at = 3, #KEYS do
  redis.call('ZREM', KEYS[2], KEYS[at])
  redis.call('DEL', KEYS[at])
end
return 1
"""

REPLACE_IMPRESSION = """
-- KEYS: impression, impression index. ARGV: what it must still be, what it becomes, ttl, expires. Returns 1 or 0.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[4], KEYS[1])
redis.call('EXPIRE', KEYS[2], ARGV[3])
return 1
"""

REGISTER_ITEMS = """
-- KEYS: item numbers, next number. ARGV: item ids. Gives every id that has none the next number, never used before.
for _, id in ipairs(ARGV) do
  if redis.call('HEXISTS', KEYS[1], id) == 0 then
    redis.call('HSET', KEYS[1], id, redis.call('INCR', KEYS[2]) - 1)
  end
end
return redis.call('HMGET', KEYS[1], unpack(ARGV))
"""

REPLACE_ITEM = """
-- KEYS: records, changes, log. ARGV: number, record that it must still have ('' for none), record. Returns change or 0.
local found = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if found ~= ARGV[2] then return 0 end
local change = redis.call('INCR', KEYS[2])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('ZADD', KEYS[3], change, ARGV[1])
return change
"""

PUT_ITEMS = """
-- KEYS: item numbers, next number, records, changes, log. ARGV: item id, record, and so on. Returns the last change.
local change = 0
for at = 1, #ARGV, 2 do
  local number = redis.call('HGET', KEYS[1], ARGV[at])
  if not number then
    number = redis.call('INCR', KEYS[2]) - 1
    redis.call('HSET', KEYS[1], ARGV[at], number)
  end
  change = redis.call('INCR', KEYS[4])
  redis.call('HSET', KEYS[3], number, ARGV[at + 1])
  redis.call('ZADD', KEYS[5], change, number)
end
return change
"""

READ_ITEMS = """
-- KEYS: changes, log, records. ARGV: since, most items, most bytes. Returns the change counter that the page leads to,
-- whether it is the last one, and numbers with their records in turn.
local found = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local page, size, at = {}, 0, 1
while at < #found and size < tonumber(ARGV[3]) do
  local record = redis.call('HGET', KEYS[3], found[at]) or ''
  page[at], page[at + 1] = found[at], record
  size, at = size + #record, at + 2
end
if #found < 2 * tonumber(ARGV[2]) and at > #found then
  return {redis.call('GET', KEYS[1]) or '0', 1, page}
end
return {found[at - 1], 0, page}
"""
