"""What the steps of a build of MRtrix3 3.0.8 cost."""

from __future__ import annotations

# Each line has a folder, then its files and the CPU seconds that each took: g++ 12.2 for x86-64-v3, the headers
# precompiled, a whole build on two cores that had nothing else to do. Files that are not here count as the median of
# their kind.
COSTS = """
cmd 5tt2gmwmi 3.1 5tt2vis 2.4 5ttcheck 3.2 5ttedit 2.9 afdconnectivity 7.7 amp2response 9.6 amp2sh 11.9
cmd connectome2tck 5.9 connectomeedit 1.5 connectomestats 3.7 dcmedit 1.0 dcminfo 1.0 dirflip 1.8 dirgen 2.5
cmd dirmerge 1.3 dirorder 5.4 dirsplit 1.9 dirstat 6.5 dwi2adc 6.6 dwi2fod 12.1 dwi2mask 12.6 dwi2tensor 6.8
cmd dwidenoise 37.0 dwiextract 4.8 fixel2peaks 4.1 fixel2sh 4.4 fixel2tsf 7.2 fixel2voxel 10.1 fixelcfestats 9.0
cmd fixelconnectivity 3.4 fixelconvert 5.9 fixelcorrespondence 6.0 fixelcrop 5.4 fixelfilter 6.0 fixelreorient 5.9
cmd fod2dec 7.9 fod2fixel 4.7 label2colour 2.8 label2mesh 4.2 labelconvert 3.5 labelstats 2.7 maskdump 2.0
cmd maskfilter 5.4 mesh2voxel 1.8 meshconvert 1.4 meshfilter 1.2 mraverageheader 12.6 mrcalc 7.2 mrcat 10.2
cmd mrcentroid 2.9 mrcheckerboardmask 2.3 mrclusterstats 6.9 mrcolour 2.8 mrconvert 17.7 mrdegibbs 3.6 mrdump 7.7
cmd mredit 3.2 mrfilter 11.7 mrgrid 9.4 mrhistmatch 5.7 mrhistogram 3.0 mrinfo 4.1 mrmath 31.3 mrmetric 25.9
cmd mrregister 96.9 mrstats 2.7 mrthreshold 9.3 mrtransform 56.0 mtnormalise 10.6 peaks2amp 2.2 peaks2fixel 3.4
cmd sh2amp 5.5 sh2peaks 5.8 sh2power 2.5 sh2response 5.2 shbasis 7.0 shconv 3.1 tck2connectome 6.2 tck2fixel 9.8
cmd tckconvert 9.4 tckdfc 9.3 tckedit 3.2 tckgen 21.2 tckglobal 6.9 tckinfo 2.4 tckmap 23.6 tckresample 3.2
cmd tcksample 9.1 tcksift 11.0 tcksift2 9.9 tckstats 2.6 tcktransform 5.7 tensor2metric 6.2 transformcalc 21.6
cmd transformcompose 4.3 transformconvert 2.6 tsfdivide 2.0 tsfinfo 1.9 tsfmult 2.3 tsfsmooth 2.1 tsfthreshold 2.0
cmd tsfvalidate 2.2 vectorstats 3.6 voxel2fixel 4.4 voxel2mesh 5.8 warp2metric 6.3 warpconvert 6.5 warpcorrect 3.3
cmd warpinit 3.1 warpinvert 4.5
core app 2.7 axes 0.4 datatype 0.6 exception 0.4 header 4.9 mrtrix 0.6 progressbar 0.4 signal_handler 0.5 stats 0.6
core stride 1.0 thread 0.5 version 0.4
core/adapter reslice 0.4
core/algo histogram 1.3
core/dwi gradient 4.5 shells 3.6
core/file config 0.8 json_utils 5.3 key_value 0.5 mgh 0.5 mmap 0.7 name_parser 1.3 nifti_utils 3.2 ofstream 0.5
core/file png 0.8 tiff 0.4
core/file/dicom dict 1.8 element 1.5 image 2.6 mapper 2.6 patient 0.7 quick_scan 1.0 select_cmdline 1.0 series 0.7
core/file/dicom study 0.8 tree 1.0
core/filter connected_components 2.0
core/formats dicom 1.3 list 0.4 mgh 2.3 mgz 2.1 mri 1.0 mrtrix 1.4 mrtrix_gz 1.3 mrtrix_sparse_legacy 1.5
core/formats mrtrix_utils 0.7 nifti1 0.4 nifti1_gz 0.4 nifti2 0.4 nifti2_gz 0.5 par 3.1 pipe 0.6 png 0.7 ram 0.3
core/formats tiff 0.6 xds 0.7
core/image_io base 0.4 default 0.6 fetch_store 2.4 gz 0.6 mosaic 0.5 null 0.4 pipe 0.5 png 0.7 ram 0.4 scratch 0.5
core/image_io sparse 0.6 tiff 0.5 variable_scaling 0.5
core/math SH 0.4 average_space 32.6 bessel 0.4 betainc 0.4 erfinv 0.6 zstatistic 1.2
core/math/stats fwe 0.6 glm 28.4 import 0.5 shuffle 2.1
core/metadata bids 0.6 phase_encoding 3.1 slice_encoding 0.9
core/misc bitset 0.4
src colourmap 0.7 exec_version 0.4
src/connectome connectome 2.3 enhance 0.7 lut 1.1
src/dwi fmls 9.3
src/dwi/directions file 0.9 mask 0.5 predefined 0.4 set 1.3
src/dwi/sdeconv csd 3.7 msmt_csd 3.0
src/dwi/tractography file_base 1.2 properties 1.7 rng 0.5 roi 3.5 weights 0.5
src/dwi/tractography/ACT act 1.3 gmwmi 2.5
src/dwi/tractography/GT externalenergy 9.6 gt 0.5 internalenergy 1.7 mhsampler 2.0 particle 0.5 particlegrid 2.0
src/dwi/tractography/SIFT gradient_sort 1.6 proc_mask 4.2 sift 0.7 sifter 7.0 track_contribution 0.4
src/dwi/tractography/SIFT track_index_range 0.5
src/dwi/tractography/SIFT2 coeff_optimiser 2.2 fixel_updater 2.2 line_search 2.1 reg_calculator 2.0
src/dwi/tractography/SIFT2 streamline_stats 0.4 tckfactor 9.1
src/dwi/tractography/algorithms iFOD1 1.7 iFOD2 1.8
src/dwi/tractography/connectome connectome 2.6 exemplar 0.8 extract 2.4 matrix 2.2 tck2nodes 2.5
src/dwi/tractography/editing editing 1.6 receiver 1.3 worker 2.3
src/dwi/tractography/mapping fixel_td_map 0.9 mapper 4.9 mapper_plugins 3.5 mapping 2.6 twi_stats 0.4 voxel 0.9
src/dwi/tractography/mapping writer 0.8
src/dwi/tractography/mapping/gaussian mapper 2.0
src/dwi/tractography/resampling arc 1.7 downsampler 0.5 endpoints 0.4 fixed_num_points 0.6 fixed_step_size 0.6
src/dwi/tractography/resampling resampling 0.9 upsampler 1.6
src/dwi/tractography/seeding basic 3.4 dynamic 5.7 gmwmi 2.7 list 0.5 seeding 3.9
src/dwi/tractography/tracking early_exit 1.5 method 3.0 shared 4.0 tractography 1.6 write_kernel 1.6
src/fixel index_remapper 0.4 matrix 9.1
src/fixel/filter connect 3.7 smooth 5.0
src/registration linear 12.2 multi_contrast 3.3 nonlinear 12.4
src/registration/transform affine 25.3 convergence_check 1.1 initialiser 19.8 initialiser_helpers 38.7 rigid 27.0
src/stats cfe 3.1 cluster 0.7 permtest 3.2 tfce 0.8
src/surface freesurfer 1.1 mesh 2.1 mesh_multi 1.1 polygon 0.4 scalar 1.2
src/surface/algo mesh2image 5.2
src/surface/filter base 1.4 smooth 1.2 vertex_transform 1.7
"""

# All programs take about as long to link.
LINK = 0.06
