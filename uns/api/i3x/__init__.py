"""The record and the live tree as i3X 1.0 (Industrial Information Interface eXchange, CESMII).

Places of the plant are objects in a hierarchy; tags and state documents are components of their
place, and their ids are the topics. Owns nothing that /v1 does not answer too.

    wire           PURE  the JSON of requests and answers
    space          PURE  the address space of a plant: types, objects, relationships
    values         PURE  payloads as value, quality, timestamp
    subscriptions  PURE  what was said since a client last asked, bounded
    bulk                 answers about many things, and answers that are not all of it
    look                 the record and its space at one moment
    objects              the paths that explore and query
    subscribing          the paths that subscribe
    face                 the application: routes, and how errors look here
"""
