# Finds PnetCDF: target PnetCDF::PnetCDF, variables PNETCDF_LIBRARIES and PNETCDF_INCLUDE_DIR.
# By pkg-config, by pnetcdf-config in the path, or in PNETCDF_ROOT, PNETCDF_DIR and the usual places.
include(FindPackageHandleStandardArgs)
pkg_check_modules(PC_PNETCDF QUIET pnetcdf)
find_program(PNETCDF_CONFIG pnetcdf-config)
if(PNETCDF_CONFIG)
    execute_process(COMMAND ${PNETCDF_CONFIG} --includedir OUTPUT_VARIABLE config_include OUTPUT_STRIP_TRAILING_WHITESPACE)
    execute_process(COMMAND ${PNETCDF_CONFIG} --libdir OUTPUT_VARIABLE config_lib OUTPUT_STRIP_TRAILING_WHITESPACE)
endif()
find_path(PNETCDF_INCLUDE_DIR pnetcdf.h HINTS ${PC_PNETCDF_INCLUDE_DIRS} ${PC_PNETCDF_INCLUDEDIR} ${config_include}
          $ENV{PNETCDF_DIR}/include)
find_library(PNETCDF_LIBRARY pnetcdf HINTS ${PC_PNETCDF_LIBRARY_DIRS} ${PC_PNETCDF_LIBDIR} ${config_lib}
             $ENV{PNETCDF_DIR}/lib)
mark_as_advanced(PNETCDF_CONFIG PNETCDF_INCLUDE_DIR PNETCDF_LIBRARY)
find_package_handle_standard_args(PnetCDF REQUIRED_VARS PNETCDF_LIBRARY PNETCDF_INCLUDE_DIR VERSION_VAR PC_PNETCDF_VERSION
    REASON_FAILURE_MESSAGE "Debian: libpnetcdf-dev, elsewhere load a parallel-netcdf module, or say -DPnetCDF_ROOT=dir")
set(PNETCDF_LIBRARIES ${PNETCDF_LIBRARY})
if(PnetCDF_FOUND AND NOT TARGET PnetCDF::PnetCDF)
    add_library(PnetCDF::PnetCDF UNKNOWN IMPORTED)
    set_target_properties(PnetCDF::PnetCDF PROPERTIES IMPORTED_LOCATION ${PNETCDF_LIBRARY}
        INTERFACE_INCLUDE_DIRECTORIES ${PNETCDF_INCLUDE_DIR} INTERFACE_LINK_LIBRARIES MPI::MPI_C)
endif()
