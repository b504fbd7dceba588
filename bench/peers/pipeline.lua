-- wrk: sixteen requests in one write.
init = function(args)
  local r = {}
  for i = 1, 16 do r[i] = wrk.format() end
  request_16 = table.concat(r)
end
request = function() return request_16 end
