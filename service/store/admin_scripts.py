"""Lua scripts over keys and tenants; all of their Redis keys share one hash tag."""

from __future__ import annotations

__all__ = ["ADD_KEY", "ADD_TENANT", "DELETE_TENANT", "PAGE_OF_KEYS", "REVOKE_KEY"]

ADD_KEY = """
-- KEYS: tenants, keys, ids of the tenant's keys. ARGV: tenant's name or '' for the service's own, its namespace,
-- key id, record, most keys. Returns 1, 0 where there is no such tenant any more, -1 where it has so many keys.
if ARGV[1] ~= '' then
  local tenant = redis.call('HGET', KEYS[1], ARGV[1])
  if not tenant or cjson.decode(tenant).namespace ~= ARGV[2] then return 0 end
end
if not redis.call('ZSCORE', KEYS[3], ARGV[3]) and redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[5]) then return -1 end
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
redis.call('ZADD', KEYS[3], 0, ARGV[3])
return 1
"""

REVOKE_KEY = """
-- KEYS: keys, ids of the tenant's keys. ARGV: key id. Returns 1, or 0 where the tenant has no such key.
if redis.call('ZREM', KEYS[2], ARGV[1]) == 0 then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
"""

PAGE_OF_KEYS = """
-- KEYS: keys, ids of the tenant's keys. ARGV: id before the page or '', most. Returns records.
local from = '-'
if ARGV[1] ~= '' then from = '(' .. ARGV[1] end
local ids = redis.call('ZRANGEBYLEX', KEYS[2], from, '+', 'LIMIT', 0, ARGV[2])
if #ids == 0 then return {} end
return redis.call('HMGET', KEYS[1], unpack(ids))
"""

ADD_TENANT = """
-- KEYS: tenants. ARGV: name, record, most tenants. Returns 1, 0 where the name is taken, -1 where there are so many.
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return 0 end
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then return -1 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
"""

DELETE_TENANT = """
-- KEYS: tenants, keys, ids of the tenant's keys, erasures. ARGV: name, namespace, when the last of it is gone.
-- Returns the ids of its keys, or nil where there is no such tenant any more.
local tenant = redis.call('HGET', KEYS[1], ARGV[1])
if not tenant or cjson.decode(tenant).namespace ~= ARGV[2] then return false end
local ids = redis.call('ZRANGE', KEYS[3], 0, -1)
for _, id in ipairs(ids) do redis.call('HDEL', KEYS[2], id) end
redis.call('DEL', KEYS[3])
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[4], ARGV[2], ARGV[3])
return ids
"""
